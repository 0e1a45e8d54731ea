"""Waiting with an end: every wait of the system goes through :func:`within`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from r1ray.errors import DeadlineExceeded
from r1ray.runtime.activity import waiting
from r1ray.runtime.actor_status import explained, suspects

T = TypeVar("T")


async def within(seconds: float, awaitable: Awaitable[T], *, waiter: str, owner: str, key: str) -> T:
    """The result of ``awaitable``, or DeadlineExceeded that says who waited for whom, how long, and what to do.

    Args:
        waiter: who waits.
        owner: who has to answer.
        key: the configuration key that holds ``seconds``.
    """
    # Not asyncio.wait_for: in Python 3.11 it swallows a cancellation that comes together with the result
    # (https://github.com/python/cpython/issues/86296), and a task group whose other task failed would wait for ever.
    limit = asyncio.timeout(seconds)
    try:
        with waiting(owner):
            async with limit:
                return await awaitable
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise DeadlineExceeded(
            f"{waiter} waited {seconds:g} s for {owner} without an answer. If that much work is normal here, raise "
            f"{key}; otherwise {explained(owner, suspects(owner))}"
        ) from error
