"""The table of layouts, in the order in which they are tried: layouts that need more columns come first."""

from __future__ import annotations

from collections.abc import Iterable

from r1ray.data.layouts.choices import CHOICES
from r1ray.data.layouts.code import CODE
from r1ray.data.layouts.frameworks import FRAMEWORKS
from r1ray.data.layouts.layout import Layout
from r1ray.data.layouts.mathematics import MATH
from r1ray.data.layouts.own import OWN

LAYOUTS: tuple[Layout, ...] = (*OWN, *FRAMEWORKS, *CODE, *CHOICES, *MATH)


def recognise(columns: Iterable[str]) -> Layout | None:
    """Return the layout of a file with these columns; None if it is not known."""
    found = frozenset(column.lower() for column in columns)
    return next((layout for layout in LAYOUTS if layout.matches(found)), None)


def unknown_columns(columns: Iterable[str]) -> str:
    """Return the text of a message about a file whose columns match no layout."""
    return (
        f"found the columns {', '.join(sorted(columns))}; needs those of one of the layouts in r1ray/data/README.md, "
        "or data.columns, which says what they hold: data.columns={prompt: question, answer: label}"
    )
