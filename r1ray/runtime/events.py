"""Events: what this process did, from when to when. They are kept in memory, and every second appended to
``RUN_DIR/events.jsonl`` by :mod:`r1ray.runtime.own_process`; :mod:`r1ray.telemetry.timeline` reads them.

    with doing("learn"): ...  -->  {"actor": "learner rank 0", "kind": "learn", "start": 12.5, "end": 13.7, ...}

An event is not one call: work of one kind that overlaps, or goes on within ``GAP_S``, is one event, however many calls
it is made of. What lasts is written in pieces of ``PIECE_S``, so that a process that is killed has told of it.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

Kind = Literal[
    "start",
    "generate",
    "evaluate",
    "pause",
    "load",
    "score",
    "wait",
    "learn",
    "publish",
    "save",
    "export",
    "record",
    "fault",
    "resume",
    "dropped",
]
"""``wait``: the controller, for groups or an evaluation. ``pause``: an engine, while weights come in. ``load``: weights
or a checkpoint. ``record``: the rollout log. ``fault``: an actor was lost; ``resume``: a command went on with what an
earlier one left; both last no time. ``dropped``: so many events were not kept, by ``detail``."""
EVENTS = "events.jsonl"
GAP_S = 0.05
PIECE_S = 60.0
MAX_KEPT = 2000
"""Events in memory until they are written."""
MAX_BYTES = 64 * 1024 * 1024
"""Limit of a file: some 500,000 events, of all processes of a node."""


@dataclass(frozen=True, slots=True)
class Event:
    """Work of a process; Unix seconds."""

    kind: Kind
    start: float
    end: float
    detail: str = ""


@dataclass(slots=True)
class _Span:
    """Work of one kind: so many calls under way, the first since ``start``, and the last ended at ``end``."""

    start: float
    end: float
    num_calls: int = 1
    detail: str = ""


class Events:
    """The events of a process until they are written. Threads may use it at the same time."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now, self._lock = now, threading.Lock()
        self._spans: dict[Kind, _Span] = {}
        self._kept: list[Event] = []
        self.num_dropped = 0

    def begin(self, kind: Kind, detail: str = "") -> None:
        """Note that a call of a kind begins; ``detail`` of the first counts."""
        with self._lock:
            now, span = self._now(), self._spans.get(kind)
            if span is not None and (span.num_calls or now - span.end < GAP_S):
                span.num_calls += 1
                return
            if span is not None:
                self._keep(Event(kind, span.start, span.end, span.detail))
            self._spans[kind] = _Span(now, now, detail=detail)

    def end(self, kind: Kind) -> None:
        """Note that a call of a kind ends."""
        with self._lock:
            if (span := self._spans.get(kind)) is not None and span.num_calls:
                span.num_calls -= 1
                span.end = self._now()

    def note(self, kind: Kind, *, start: float | None = None, detail: str = "") -> None:
        """Note what ends now, and began at ``start``, or now too."""
        with self._lock:
            now = self._now()
            self._keep(Event(kind, now if start is None else start, now, detail))

    def take(self, *, is_last: bool = False) -> list[Event]:
        """Return what has ended, and of what lasts a piece where it has become long; it goes on from there.

        Args:
            is_last: nothing comes after this: what lasts ends now.
        """
        with self._lock:
            now = self._now()
            for kind, span in list(self._spans.items()):
                if span.num_calls and (is_last or now - span.start >= PIECE_S):
                    self._keep(Event(kind, span.start, now, span.detail))
                    span.start = now
                elif not span.num_calls and (is_last or now - span.end >= GAP_S):
                    self._keep(Event(kind, span.start, span.end, span.detail))
                    del self._spans[kind]
            kept, self._kept = self._kept, []
            return kept

    def _keep(self, event: Event) -> None:
        if len(self._kept) < MAX_KEPT:
            self._kept.append(event)
        else:
            self.num_dropped += 1


class EventFile:
    """Appends events to a file that other processes append to as well, up to its limit."""

    def __init__(self, path: Path, *, actor: str, max_bytes: int = MAX_BYTES) -> None:
        self._path, self._actor, self._max_bytes = path, actor, max_bytes
        self._num_lost = self._num_told = 0

    def write(self, events: Sequence[Event], *, num_dropped: int = 0) -> None:
        """Append a line an event, all of them at once; what has no room is dropped and counted.

        Args:
            num_dropped: events of this process that were dropped before they came here, since it began.
        """
        lines = [self._line(event) for event in events]
        is_full = bool(lines) and self._size() > self._max_bytes
        self._num_lost += len(lines) * is_full
        lost = self._num_lost + num_dropped
        told = [] if is_full else lines
        if lost >= max(1, 2 * self._num_told):  # a line for each doubling: the last one is off by half at most
            now = time.time()
            self._num_told = lost
            told = [*told, self._line(Event("dropped", now, now, str(lost)))]
        if told:
            try:
                with self._path.open("ab", buffering=0) as file:
                    file.write("".join(told).encode())
            except OSError:  # a disk that is full, or gone, is found elsewhere
                self._num_lost += len(lines)

    def _size(self) -> int:
        return os.stat(self._path).st_size if self._path.exists() else 0

    def _line(self, event: Event) -> str:
        return json.dumps({"actor": self._actor, **asdict(event)}) + "\n"


_own = Events()
begin, end, note, take = _own.begin, _own.end, _own.note, _own.take


def num_dropped() -> int:
    """Return how many events of this process were dropped, because too many came at once."""
    return _own.num_dropped


@contextmanager
def doing(kind: Kind, detail: str = "") -> Iterator[None]:
    """Note work of a kind for as long as the block lasts."""
    begin(kind, detail)
    try:
        yield
    finally:
        end(kind)
