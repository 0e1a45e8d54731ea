"""How an engine spends its time: busy, idle or paused. The three add up to wall time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from r1ray.runtime import events
from r1ray.types import EngineTimes


class EngineClock:
    """Counts what is under way, and adds the seconds since the last change to what the engine was doing until then."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now, self._since = now, now()
        self._running = self._evaluating = 0
        self._is_paused = False
        self._busy = self._idle = self._paused = self._eval = 0.0

    @contextmanager
    def running(self, *, is_eval: bool) -> Iterator[None]:
        """A context in which one more trajectory is under way."""
        self._add(1, is_eval)
        try:
            yield
        finally:
            self._add(-1, is_eval)

    def pause(self) -> None:
        self._settle()
        if not self._is_paused:
            events.begin("pause")
        self._is_paused = True

    def resume(self) -> None:
        self._settle()
        if self._is_paused:
            events.end("pause")
        self._is_paused = False

    def times(self) -> EngineTimes:
        """Return the seconds of each kind until now."""
        self._settle()
        return EngineTimes(self._busy, self._idle, self._paused, self._eval)

    def _add(self, change: int, is_eval: bool) -> None:
        self._settle()
        self._running += change
        self._evaluating += change * is_eval

    def _settle(self) -> None:
        now = self._now()
        seconds, self._since = now - self._since, now
        if self._is_paused:
            self._paused += seconds
        elif self._running:
            self._busy += seconds
            self._eval += seconds * self._evaluating / self._running
        else:
            self._idle += seconds
