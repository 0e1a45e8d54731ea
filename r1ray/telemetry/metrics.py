"""metrics.jsonl: one JSON object a step, appended and flushed as it happens; and what any such file needs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from r1ray.runtime.files import write_text

WHOLE = ("step", "policy_version", "ledger/issued", "ledger/trained", "ledger/dropped", "ledger/in_flight")

TAIL = 1024 * 1024
"""Bytes; a line has some ten thousand."""


def reward_parts(names: Iterable[str]) -> list[str]:
    """Of metric names those of the reward's named parts, in their order."""
    return [name for name in names if name.startswith("reward/") and name != "reward/mean"]


def append_row(path: Path, row: Mapping[str, object]) -> None:
    """Write one line."""
    with path.open("a", encoding="utf-8") as file:
        file.write(_line(row))


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Every whole line so far; a line that a crash cut off is left out, in the middle of a character even."""
    if not path.exists():
        return []
    rows = []
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                rows.append(json.loads(line))
            except ValueError:
                continue
    return rows


def last_row(path: Path) -> dict[str, Any]:
    """Return the last whole line that tells of a step, rather not one of an evaluation alone, which may be of an older
    step; empty if there is none. Only the end of the file is read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return {}
    rows = [row for line in lines if (row := _row_of(line))]
    trained = [row for row in rows if "time/step_s" in row]
    return (trained or rows or [{}])[-1]


def _row_of(line: str) -> dict[str, Any]:
    """Return a line's object; empty if it is none with a step."""
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) and "step" in row else {}


def rewind_rows(path: Path, step: int) -> None:
    """Forget the lines after ``step``: a resumed run writes them again."""
    if not path.exists():
        return
    write_text(path, "".join(_line(row) for row in read_rows(path) if row["step"] <= step))


def _line(row: Mapping[str, object]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


class MetricsFile:
    """The metrics of one stage of a run."""

    def __init__(self, path: Path, *, stage: str) -> None:
        self.path, self._stage = path, stage
        path.parent.mkdir(parents=True, exist_ok=True)

    def append(self, metrics: dict[str, float]) -> None:
        """Write one line; counts as whole numbers, ``stage`` and the time (Unix seconds) added."""
        row: dict[str, object] = {name: int(value) if name in WHOLE else value for name, value in metrics.items()}
        append_row(self.path, {"stage": self._stage, "wall_time": time.time(), **row})

    def read(self) -> list[dict[str, float]]:
        """See :func:`read_rows`."""
        return read_rows(self.path)

    def rewind(self, step: int) -> None:
        """See :func:`rewind_rows`."""
        rewind_rows(self.path, step)
