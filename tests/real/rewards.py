"""A user's own reward functions, named by their paths."""

from __future__ import annotations

import asyncio

from r1ray.types import Prompt, Response


def even(prompt: Prompt, response: Response) -> float:
    """1 where the text has an even number of characters: an untrained model earns it half of the time."""
    return float(len(response.text) % 2 == 0)


async def slow(prompt: Prompt, response: Response) -> float:
    """Nothing, after a second."""
    await asyncio.sleep(1.0)
    return 0.0
