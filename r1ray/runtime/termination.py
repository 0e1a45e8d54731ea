"""SIGTERM, which schedulers send some time before they take a machine away.

By itself it ends a command the way Ctrl-C does. A stage that trains ends at the next place that it can go on from
(:func:`first_sigterm`); a second SIGTERM then ends it at once.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_received = False


def interrupts_on_sigterm() -> None:
    """For a command line: SIGTERM is Ctrl-C from now on, and :func:`was_terminated` says which of them it was."""
    # What a script starts in the background ignores SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _interrupt)


def was_terminated() -> bool:
    return _received


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _received
    _received = True
    signal.raise_signal(signal.SIGINT)  # asyncio knows what to do with it: it cancels the main task


@contextmanager
def kept_handler() -> Iterator[None]:
    """SIGTERM means afterwards what it meant before: ``ray.init`` makes it end the process."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        _set(before)


@contextmanager
def first_sigterm(act: Callable[[], None]) -> Iterator[None]:
    """The first SIGTERM calls ``act`` in the running loop; the next one is as before."""
    before, loop = signal.getsignal(signal.SIGTERM), asyncio.get_running_loop()

    def once(number: int, frame: FrameType | None) -> None:
        _set(before)
        loop.call_soon_threadsafe(act)

    _set(once)
    try:
        yield
    finally:
        _set(before)


def _set(handler: signal._HANDLER) -> None:
    with suppress(ValueError):  # only the main thread has signals; in another one nobody expects them
        signal.signal(signal.SIGTERM, handler)
