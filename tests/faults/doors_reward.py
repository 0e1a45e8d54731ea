"""Reward functions of the user's own: one in which scoring and evaluations are held, and one that falls when the run is
to end (``stop.metric``)."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from r1ray.types import Prompt, Response
from tests.faults.gate import ENDS, FOLDER, PACE, hold_async

HELD_OUT = "held out"
"""The domain of the prompts that evaluations ask."""


async def even(prompt: Prompt, response: Response) -> float:
    """1 where the text has an even number of characters; at the pace of the test."""
    await hold_async("evaluating" if prompt.domain == HELD_OUT else "scoring")
    await asyncio.sleep(float((Path(os.environ[FOLDER]) / PACE).read_text() or 0))
    return float(len(response.text) % 2 == 0)


def going_on(prompt: Prompt, response: Response) -> float:
    """1 until the run is to end, then 0."""
    return float(not (Path(os.environ[FOLDER]) / ENDS).exists())
