"""The progress of reading large files: a bar on a terminal, occasional log lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

from r1ray.runtime.advance import Advance, advancing

if TYPE_CHECKING:
    from rich.progress import Progress

logger = logging.getLogger(__name__)

AFTER_S = 3.0
"""Time below which reading is not reported."""
LINE_EVERY_S = 15.0
LOOKED_AT = 1024
"""Number of rows between two looks at the clock."""


class Partly(Protocol):
    """A file that is read step by step."""

    @property
    def share_read(self) -> float: ...


class ReadingProgress:
    """Reports how much of the files of one source has been read."""

    def __init__(self, key: str, *, sizes: Sequence[int]) -> None:
        self._key, self._sizes = key, sizes
        self._num_files = self._num_rows = 0
        self._begun = self._told = time.monotonic()
        self._bar: Progress | None = None
        self._shown = ExitStack()
        self._advance: Advance | None = None

    def __enter__(self) -> ReadingProgress:
        return self

    def __exit__(self, *ended: object) -> None:
        self._shown.close()
        if self._bar is not None:
            self._bar.stop()

    def note(self, file: Partly) -> None:
        """Count a row of a file."""
        self._num_rows += 1
        if self._num_rows % LOOKED_AT:
            return
        now = time.monotonic()
        if now - self._begun >= AFTER_S:
            self._tell(file, now)

    def end_file(self) -> None:
        """Go on to the next file."""
        self._num_files += 1

    def _share(self, file: Partly) -> float:
        done = sum(self._sizes[: self._num_files]) + self._sizes[self._num_files] * file.share_read
        return done / max(1, sum(self._sizes))

    def _tell(self, file: Partly, now: float) -> None:
        share = self._share(file)
        if self._advance is None:
            self._advance = self._shown.enter_context(advancing(f"reading {self._key}", total=1.0))
        self._advance.done = share
        if sys.stderr.isatty():
            bar = self._bar = self._bar or _bar(self._key)
            bar.update(bar.task_ids[0], completed=share, rows=self._num_rows)
        elif now - self._told >= LINE_EVERY_S:
            self._told = now
            logger.info(f"{self._key}: {self._num_rows} rows are read, {share:.0%} of the files")


def _bar(key: str) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[rows]} rows"),
        TimeRemainingColumn(),
    )
    made = Progress(*columns, console=Console(stderr=True), transient=True)
    made.add_task(f"reading {key}", total=1.0, rows=0)
    made.start()
    return made
