"""r1ray's own layout, in which a row says how its responses are judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from r1ray.checks import Check
from r1ray.data.checks import parse_check
from r1ray.data.layouts.layout import Layout
from r1ray.data.layouts.questions import asked
from r1ray.data.layouts.values import unpacked


def _check(row: Mapping[str, Any]) -> Check:
    """A check may be JSON text, as Parquet files of several types of check have it."""
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
