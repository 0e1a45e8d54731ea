"""r1ray's own layout, in which a row contains the check of its responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from r1ray.checks import Check
from r1ray.data.checks import parse_check
from r1ray.data.layouts.layout import Layout
from r1ray.data.layouts.questions import asked
from r1ray.data.layouts.values import unpacked


def _check(row: Mapping[str, Any]) -> Check:
    """Return the check of a row, which may be JSON text, as in Parquet files with several types of check."""
    return parse_check(unpacked(row.get("check"), column="check"))


OWN = (
    Layout(
        name="r1ray",
        columns=("prompt", "check"),
        question=asked("prompt"),
        check=_check,
        means="what `check` says",
        ids=("id",),
        domains=("domain",),
    ),
)
