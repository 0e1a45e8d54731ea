"""Recorded runs of the quickstart, and planted ones: a recorded run in which some metrics are others."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from r1ray.telemetry.diagnosis.diagnose import diagnose
from r1ray.telemetry.diagnosis.finding import Finding

RUNS = Path(__file__).parent / "recordings"
"""Of each run the sections of its configuration that rules read, and its metrics without times, a line each."""
NAMES = sorted(path.name.removesuffix(".jsonl.gz") for path in RUNS.glob("*.jsonl.gz"))
HEALTHY = "dapo-4-0"
"""An asynchronous run, from pass@1 0.20 to 0.97."""
Value = float | Callable[[int], float | None] | None


def recorded(name: str = HEALTHY) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return settings and lines of a recorded run."""
    settings, *rows = map(json.loads, gzip.decompress((RUNS / f"{name}.jsonl.gz").read_bytes()).splitlines())
    return settings, rows


def planted(changes: dict[str, Value], name: str = HEALTHY) -> list[dict[str, Any]]:
    """Return the lines of a run whose lines of training have other values: a number, one by its step, or none."""
    _, rows = recorded(name)
    for row in rows:
        for metric, value in changes.items() if "time/step_s" in row else ():
            new = value(row["step"]) if callable(value) else value
            row.pop(metric, None)
            row |= {metric: new} if new is not None else {}
    return rows


def found(rows: list[dict[str, Any]], *, rollouts: Path | None = None) -> dict[str, Finding]:
    """Return what is found in lines, by the rules, at any step of them."""
    settings, _ = recorded()
    at_any: dict[str, Finding] = {}
    for end in range(1, len(rows) + 1):
        for finding in diagnose(rows[:end], settings=settings, rollouts=rollouts):
            at_any[finding.rule] = finding
    return at_any
