"""A user's own reward functions, named by their paths."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from r1ray.types import Prompt, Response


def even(prompt: Prompt, response: Response) -> float:
    """1 where the text has an even number of characters: an untrained model earns it half of the time."""
    return float(len(response.text) % 2 == 0)


async def slow(prompt: Prompt, response: Response) -> float:
    """Nothing, after three seconds; at once when the file that HURRY names is there."""
    if not Path(os.environ["HURRY"]).exists():
        await asyncio.sleep(3.0)
    return 0.0


def broken(prompt: Prompt, response: Response) -> float:
    raise ValueError("planted")
