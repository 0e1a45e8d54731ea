"""Waiting with an end: every wait of the system goes through :func:`within`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from r1ray.errors import DeadlineExceeded
from r1ray.runtime.activity import waiting
from r1ray.runtime.actor_status import explained, suspects

T = TypeVar("T")
LOOK_S = 0.5


def never() -> bool:
    """Return False: a clock that always runs."""
    return False


def standing_first(seconds: float, stands_still: Callable[[], bool] = never) -> Callable[[], bool]:
    """Return what says that a clock stands still: for so long from now on, and then where ``stands_still`` does."""
    if not seconds:
        return stands_still
    until = time.monotonic() + seconds
    return lambda: time.monotonic() < until or stands_still()


async def within(
    seconds: float,
    awaitable: Awaitable[T],
    *,
    waiter: str,
    owner: str,
    key: str,
    stands_still: Callable[[], bool] = never,
) -> T:
    """The result of ``awaitable``, or DeadlineExceeded that says who waited for whom, how long, and what to do.

    Args:
        waiter: who waits.
        owner: who has to answer.
        key: the configuration key that holds ``seconds``.
        stands_still: says whether the clock does: somebody else's time passes now, who has a deadline of his own.
    """
    # Not asyncio.wait_for: in Python 3.11 it swallows a cancellation that comes together with the result
    # (https://github.com/python/cpython/issues/86296), and a task group whose other task failed would wait for ever.
    limit = asyncio.timeout(seconds)
    try:
        with waiting(owner):
            async with limit:
                with _put_off(limit, stands_still, every_s=min(LOOK_S, seconds / 4)):
                    return await awaitable
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise DeadlineExceeded(
            f"{waiter} waited {seconds:g} s for {owner} without an answer. If that much work is normal here, raise "
            f"{key}; otherwise {explained(owner, suspects(owner))}"
        ) from error


@contextmanager
def _put_off(limit: asyncio.Timeout, stands_still: Callable[[], bool], *, every_s: float) -> Iterator[None]:
    """Put a limit off by the time during which its clock stands still, which is looked at every so often."""
    if stands_still is never:
        yield
        return
    loop = asyncio.get_running_loop()
    looked = loop.time()
    timer: asyncio.TimerHandle | None = None

    def look() -> None:
        nonlocal timer, looked
        before, looked = looked, loop.time()
        end = limit.when()
        if end is not None and not limit.expired() and stands_still():
            limit.reschedule(end + looked - before)
        timer = loop.call_later(every_s, look)

    timer = loop.call_later(every_s, look)
    try:
        yield
    finally:
        timer.cancel()
