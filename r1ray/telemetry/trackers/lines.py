"""A metrics.jsonl read on from a place, while others append to it and may take lines back.

read_on(path, Mark()) --> lines, mark       read_on(path, mark) --> the lines after those, next mark
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from r1ray.telemetry.metrics import row_in
from r1ray.telemetry.trackers.tracker import Line

AT_ONCE = 500
"""Lines that are read at most."""
NO_METRICS = ("stage", "wall_time", "step")


@dataclass(frozen=True, slots=True)
class Mark:
    """The last line that was read."""

    start: int = 0
    end: int = 0
    """Its bytes in the file."""
    wall_time: float = -math.inf
    """Time of the line. A line that is written in the place of one that was taken back has a later one."""


@dataclass(frozen=True, slots=True)
class Read:
    """Lines that were read."""

    lines: list[Line]
    mark: Mark
    kept: int | None = None
    """The last step that stands, if lines that were read before have been taken back since; -1: no step."""


def read_on(path: Path, mark: Mark) -> Read:
    """Return the whole lines that follow a mark, at most :data:`AT_ONCE`. Raises OSError."""
    with path.open("rb") as file:
        kept = None
        if not _stands(file, mark):
            mark, kept = _last_kept(file, mark)
        file.seek(mark.end)
        lines: list[Line] = []
        while len(lines) < AT_ONCE and (found := _next(file)) is not None:
            row, mark = found
            lines += [_line(row)] if row else []
        return Read(lines, mark, kept)


def count_on(path: Path, end: int) -> int:
    """Return how many lines a file has after so many bytes; 0 where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(end)
            return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    except OSError:
        return 0


def _stands(file: BinaryIO, mark: Mark) -> bool:
    """Return whether the line of a mark is where it was."""
    if not mark.end:
        return True
    file.seek(mark.start)
    return _wall_time(row_in(file.read(mark.end - mark.start)) or {}) == mark.wall_time


def _last_kept(file: BinaryIO, mark: Mark) -> tuple[Mark, int]:
    """Return the mark of the last line that was read before and still stands, and the last step of those."""
    file.seek(0)
    kept, step = Mark(), -1
    while (found := _next(file)) is not None and found[1].wall_time <= mark.wall_time:
        row, kept = found
        step = max(step, int(row.get("step", -1)))
    return kept, step


def _next(file: BinaryIO) -> tuple[dict[str, Any], Mark] | None:
    """Return the next whole line; None where there is none, or only the beginning of one. An odd line is empty."""
    start = file.tell()
    text = file.readline()
    if not text.endswith(b"\n"):
        return None
    row = row_in(text) or {}
    return row, Mark(start, file.tell(), _wall_time(row))


def _wall_time(row: Mapping[str, Any]) -> float:
    return float(row.get("wall_time", -math.inf))


def _line(row: Mapping[str, Any]) -> Line:
    metrics = {
        name: float(value) for name, value in row.items() if name not in NO_METRICS and isinstance(value, int | float)
    }
    return Line(int(row["step"]), _wall_time(row), metrics)
