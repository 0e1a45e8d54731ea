"""SIGTERM, which schedulers send some time before they take a machine away, and SIGHUP, which comes when the terminal
goes; both mean the same.

By itself it ends a command the way Ctrl-C does. A stage that trains ends at the next place that it can go on from
(:func:`first_sigterm`); a second one then ends it at once. Under ``nohup`` SIGHUP stays without effect.
"""

from __future__ import annotations

import asyncio
import os
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_received = False
_ENDS = (signal.SIGTERM, signal.SIGHUP)


def interrupts_on_sigterm() -> None:
    """For a command line: SIGTERM is Ctrl-C from now on, and :func:`was_terminated` says which of them it was."""
    # What a script starts in the background ignores SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _interrupt)
    if _hangs_up():
        signal.signal(signal.SIGHUP, _interrupt)


def was_terminated() -> bool:
    return _received


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _received
    _received = True
    _leave_terminal(number)
    signal.raise_signal(signal.SIGINT)  # asyncio knows what to do with it: it cancels the main task


def _hangs_up() -> bool:
    """SIGHUP is not ignored, as nohup makes it."""
    return signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN


def _leave_terminal(number: int) -> None:
    """Print no more where the terminal is gone: every line would fail."""
    if number != signal.SIGHUP:
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        with suppress(OSError):
            if stat.S_ISCHR(os.fstat(stream).st_mode):
                os.dup2(nowhere, stream)
    os.close(nowhere)


@contextmanager
def kept_handler() -> Iterator[None]:
    """SIGTERM means afterwards what it meant before: ``ray.init`` makes it end the process. What the block starts does
    not get SIGHUP, which goes to every process of a terminal: the run ends by itself, and needs them for that."""
    before = signal.getsignal(signal.SIGTERM)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})  # processes inherit it
    try:
        yield
    finally:
        _set(signal.SIGTERM, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def first_sigterm(act: Callable[[], None]) -> Iterator[None]:
    """The first SIGTERM, or SIGHUP, calls ``act`` in the running loop; the next one is as before."""
    before = {number: signal.getsignal(number) for number in _ENDS if number != signal.SIGHUP or _hangs_up()}
    loop = asyncio.get_running_loop()

    def restore() -> None:
        for number, handler in before.items():
            _set(number, handler)

    def once(number: int, frame: FrameType | None) -> None:
        restore()
        _leave_terminal(number)
        loop.call_soon_threadsafe(act)

    for number in before:
        _set(number, once)
    try:
        yield
    finally:
        restore()


def _set(number: signal.Signals, handler: signal._HANDLER) -> None:
    with suppress(ValueError):  # only the main thread has signals; in another one nobody expects them
        signal.signal(number, handler)
