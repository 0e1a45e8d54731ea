"""Waiting with an end: every wait of the system goes through :func:`within`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from r1ray.errors import DeadlineExceeded

T = TypeVar("T")


async def within(seconds: float, awaitable: Awaitable[T], *, waiter: str, owner: str, key: str) -> T:
    """The result of ``awaitable``, or DeadlineExceeded that says who waited for whom, how long, and what to do.

    Args:
        waiter: who waits.
        owner: who has to answer.
        key: the configuration key that holds ``seconds``.
    """
    try:
        return await asyncio.wait_for(awaitable, seconds)
    except TimeoutError as error:
        raise DeadlineExceeded(
            f"{waiter} waited {seconds:g} s for {owner} without an answer. If that much work is normal here, raise "
            f"{key}; otherwise look at the log of {owner}."
        ) from error
