"""Tasks that nobody waits for, and that fail nevertheless in somebody's sight."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class Background:
    """Runs tasks beside others; what one raises is told."""

    def __init__(self, failed: Callable[[BaseException], None]) -> None:
        """``failed`` is called with what a task raised."""
        self._failed = failed
        self._tasks: set[asyncio.Task[None]] = set()  # the event loop itself keeps only weak references

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine as a task."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._end)
        return task

    def close(self) -> None:
        """Cancel what still runs."""
        for task in list(self._tasks):
            task.cancel()

    def _end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(error)
