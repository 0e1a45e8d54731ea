"""Silence: whether an actor answers nothing any more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

AGAIN_S = 3.0
"""Wait for an answer to the second question."""


async def is_silent(ask: Callable[[], Awaitable[object]], *, silent_s: float) -> bool:
    """Return whether a question is left unanswered. It is asked twice: where this process itself was stopped, the time
    of the first is up before its answer is seen. Raises what ``ask`` raises."""
    for seconds in (silent_s, min(AGAIN_S, silent_s)):
        try:
            async with asyncio.timeout(seconds):
                await ask()
            return False
        except TimeoutError:
            continue
    return True
