"""Growth of the cost of a function with its input, judged so that a busy machine changes nothing.

:func:`calls_of` counts calls, and is exact. It sees nothing inside a regular expression or a method of ``str``, which
run in C: :func:`assert_linear` compares the processor time of this thread at two lengths, to which other processes of
the machine add next to nothing. Linear growth is far from its bound, quadratic growth as far beyond it. The garbage
collector rests meanwhile: its time goes by the objects that other tests have left, and counts as this thread's.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STEP = 8
"""Each length beside the one before."""
MOST = 24
"""Limit of what a STEP multiplies the processor time by. Linear: 8. Quadratic: 64."""
FLOOR_S = 0.05
"""Processor time that is little, whatever it is compared with."""
ROUNDS = 5
"""The least time of so many says what a text costs; noise only adds to it."""


def calls_of(work: Callable[[], object]) -> int:
    """Return how many functions were called in all, of Python's and of C's."""
    count = 0

    def counted(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def assert_linear(work: Callable[[str], object], text_of: Callable[[int], str], size: int) -> None:
    """Fail where ``work`` on ``text_of(size)`` costs more than in proportion to ``text_of(size // 8)``.

    It begins with a 64th of the size: what is quadratic fails there, and not after minutes.
    """
    shorter = text_of(size // STEP**2)
    with _garbage_left():
        work(shorter)  # what is made once is made
        for number in (size // STEP, size):
            longer = text_of(number)
            _assert_proportional(work, shorter, longer)
            shorter = longer


@contextmanager
def _garbage_left() -> Iterator[None]:
    """Collect no garbage in the block, as far as the collector runs by itself."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _assert_proportional(work: Callable[[str], object], shorter: str, longer: str) -> None:
    little = much = float("inf")
    for _ in range(ROUNDS):
        little, much = min(little, _seconds_of(work, shorter)), min(much, _seconds_of(work, longer))
        if much <= max(FLOOR_S, MOST * little):
            return
    raise AssertionError(f"{len(shorter)} characters take {little:.4f} s, {len(longer)} take {much:.4f} s")


def _seconds_of(work: Callable[[str], object], text: str) -> float:
    start = time.thread_time()
    work(text)
    return time.thread_time() - start
