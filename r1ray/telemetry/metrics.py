"""metrics.jsonl: one JSON object a step, appended and flushed as it happens; and what any such file needs."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from r1ray.errors import UserError
from r1ray.runtime.files import write_text

logger = logging.getLogger(__name__)

WHOLE = ("step", "policy_version", "ledger/issued", "ledger/trained", "ledger/dropped", "ledger/in_flight")

TAIL = 1024 * 1024
"""Bytes; a line has some ten thousand."""


def reward_parts(names: Iterable[str]) -> list[str]:
    """Of metric names those of the reward's named parts, in their order."""
    return [name for name in names if name.startswith("reward/") and name != "reward/mean"]


def is_evaluated(row: Mapping[str, object]) -> bool:
    """Return whether a line has an evaluation."""
    return any(name.startswith("eval/") for name in row)


def append_row(path: Path, row: Mapping[str, object]) -> None:
    """Write one line, or nothing of it where that fails."""
    line = _line(row).encode()
    with path.open("ab", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        try:
            while line:
                line = line[file.write(line) :]
        except OSError:
            file.truncate(end)
            raise


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return every line so far, without an end that a crash tore. Raises UserError for an odd line before that."""
    return _read(path)[0]


def last_row(path: Path) -> dict[str, Any]:
    """Return the last whole line that tells of a step, rather not one of an evaluation alone, which may be of an older
    step; empty if there is none. Only the end of the file is read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return {}
    rows = [row for line in lines if (row := row_in(line))]
    trained = [row for row in rows if "time/step_s" in row]
    return (trained or rows or [{}])[-1]


def rewind_rows(path: Path, step: int) -> None:
    """Forget the lines after ``step``: a resumed run writes them again. Raises UserError."""
    if not path.exists():
        return
    rows, num_torn = _read(path)
    if num_torn:
        logger.warning(f"{path}: {num_torn} torn {'line' if num_torn == 1 else 'lines'} at its end dropped")
    write_text(path, "".join(_line(row) for row in rows if row["step"] <= step))


def _read(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The lines of steps, and the number of torn ones after the last of them: cut in the middle of a character even,
    or zero bytes that the file system put in their place."""
    if not path.exists():
        return [], 0
    rows: list[dict[str, Any]] = []
    odd: list[tuple[int, str]] = []  # since the last good line
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            row = row_in(line)
            if row is None:
                odd.append((number, line.strip()))
                continue
            if odd:
                number, found = odd[0]
                raise UserError(
                    f"{path}, line {number}: {found[:40]!r} is no line of a step, needs an object with a number as its "
                    "step. Restore the line, or remove it if its step may be missing."
                )
            rows.append(row)
    return rows, len(odd)


def row_in(line: str | bytes) -> dict[str, Any] | None:
    """Return the object of a line, None where it is not that of a step."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    step = row.get("step") if isinstance(row, dict) else None
    return row if isinstance(step, int | float) and not isinstance(step, bool) else None


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
