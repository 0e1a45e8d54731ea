"""Curves of a stage's metrics, thinned out on one grid of steps: all charts of a page show the same steps.

lines of metrics.jsonl  --curves_of-->  {"steps": [1, 2, ..], "every": 1, "lines": {"kl/ref": {"y": [..]}, ..}}
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

MAX_POINTS = 500
"""Points of a line; twice the pixels of a chart on a small screen."""
NOT_DRAWN = ("step", "stage", "wall_time", "policy_version")
DIGITS = 5


def curves_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the metrics of a stage as lines.

    ``steps`` is the grid of the lines of training; each of their points is the mean of ``every`` steps. A metric of an
    evaluation has an ``x`` of its own: the versions that were evaluated.
    """
    trained = [row for row in rows if "time/step_s" in row]
    steps = [row["step"] for row in trained]
    every = max(1, math.ceil(len(steps) / MAX_POINTS))
    names = sorted({name for row in rows for name in row} - set(NOT_DRAWN))
    lines: dict[str, dict[str, Any]] = {}
    for name in names:
        values = [number_of(row.get(name)) for row in trained]
        if name.startswith("eval/") or all(value is None for value in values):
            lines[name] = _own_points(rows, name)
        else:
            lines[name] = {"y": [rounded(mean_of(values[at : at + every])) for at in range(0, len(values), every)]}
    lines = {name: line for name, line in lines.items() if line["y"]}
    return {"steps": steps[every - 1 :: every] + _rest(steps, every), "every": every, "lines": lines}


def _own_points(rows: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any]:
    """Return the points of a metric that few lines have, by the version that was evaluated."""
    values = {row.get("policy_version", row["step"]): number_of(row.get(name)) for row in rows if name in row}
    known = sorted((x, y) for x, y in values.items() if y is not None)
    kept = known[:: max(1, math.ceil(len(known) / MAX_POINTS))]
    return {"x": [x for x, _ in kept], "y": [rounded(y) for _, y in kept]}


def number_of(value: Any) -> float | None:
    """Return a finite number as it is, None for everything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


def mean_of(values: Sequence[float | None]) -> float | None:
    """Return the mean of the numbers among the values; None where there is none."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def rounded(value: float | None) -> float | None:
    """Return a number with as many digits as a chart can show."""
    if value is None or value == int(value):
        return value if value is None else int(value)
    return float(f"{value:.{DIGITS}g}")


def _rest(steps: Sequence[int], every: int) -> list[int]:
    """Return the step of the last point, where it stands for fewer steps than the others."""
    return [steps[-1]] if len(steps) % every else []
