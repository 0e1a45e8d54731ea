"""Differences of the configurations of several runs.

algo.clip_high   0.2   0.28
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from r1ray.telemetry.settings import settings_in

PLACES = ("name", "output_dir")
"""Keys that differ between any two runs, and say nothing of either."""


def differences(runs: Sequence[Path]) -> list[dict[str, Any]]:
    """Return the keys whose values are not the same in all runs, with the value of each run; None where it has no such
    key."""
    flats = [flat_config(run) for run in runs]
    keys = sorted({key for flat in flats for key in flat} - set(PLACES))
    rows = [{"key": key, "values": [flat.get(key) for flat in flats]} for key in keys]
    return [row for row in rows if len(set(row["values"])) > 1]


def flat_config(run: Path) -> dict[str, str]:
    """Return the resolved configuration of a run by dotted keys; empty where it has none that can be read."""
    flat: dict[str, str] = {}
    _flatten(settings_in(run), "", flat)
    return flat


def _flatten(value: Any, key: str, flat: dict[str, str]) -> None:
    if isinstance(value, dict) and value:
        for name, below in value.items():
            _flatten(below, f"{key}.{name}" if key else f"{name}", flat)
    elif key:
        flat[key] = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
