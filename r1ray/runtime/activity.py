"""Waits of this process: for whom, and since when.

    with waiting("the learner group"): ...   -->   current() -> Doing("the learner group", since)

Kept in memory, where an entry costs a microsecond; :mod:`r1ray.runtime.own_process` writes the oldest to a file now and
then.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

Kind = Literal["wait", "call", "work"]
"""``wait``: somebody here waits, with a deadline. ``call``: an actor was called and has not answered. ``work``: a call
that this process was asked to answer."""
SHOWN = 3
IDLE = "a call"
"""The wait of a process that has nothing to do, and was told nothing else by :func:`idle_means`."""

_numbers = itertools.count()
_entries: dict[Kind, dict[int, tuple[str, str, float]]] = {"wait": {}, "call": {}, "work": {}}  # the oldest first
_last_end = time.time()
_idle = IDLE


@dataclass(frozen=True, slots=True)
class Doing:
    """The wait of a process, or its work."""

    waits_for: str
    since: float
    """Unix seconds."""


def begin(kind: Kind, whom: str, what: str = "") -> int:
    """Note a wait; returns the number with which it ends. The text is made of ``whom`` and ``what`` when it is read."""
    number = next(_numbers)
    _entries[kind][number] = whom, what, time.time()
    return number


def end(kind: Kind, number: int) -> None:
    """Forget a wait that is over."""
    global _last_end
    _entries[kind].pop(number, None)
    _last_end = time.time()


@contextmanager
def waiting(whom: str, *, kind: Kind = "wait") -> Iterator[None]:
    """Note a wait for as long as the block lasts."""
    number = begin(kind, whom)
    try:
        yield
    finally:
        end(kind, number)


def idle_means(text: str) -> None:
    """Say what it means that nothing was noted, in a process whose work is not."""
    global _idle
    _idle = text


def current() -> Doing:
    """Return what this process waits for: those it waits for with a deadline, and the oldest of the calls that it made;
    if there are none, the end of the oldest call that it answers."""
    waits, calls, works = (list(_entries[kind].values()) for kind in ("wait", "call", "work"))  # threads change them
    texts = [whom for whom, _, _ in waits[:SHOWN]]
    if len(waits) > SHOWN:
        texts[-1] += f" and {len(waits) - SHOWN} others"
    texts += _oldest(calls, "{whom}: {what}")
    if not texts:
        texts = _oldest(works, "the end of {whom}")
    since = min((entry[2] for entry in (*waits, *calls) or works), default=_last_end)
    return Doing("; ".join(texts) or _idle, since)


def _oldest(entries: list[tuple[str, str, float]], form: str) -> list[str]:
    if not entries:
        return []
    whom, what, _ = entries[0]
    return [form.format(whom=whom, what=what) + (f" (the oldest of {len(entries)})" if len(entries) > 1 else "")]
