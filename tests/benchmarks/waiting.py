"""The world of ``bench_turns``, by itself: an environment worker that imports it imports little else."""

from __future__ import annotations

import asyncio
import random

from r1ray.turns import Action, Done, Message, Observation
from r1ray.types import Prompt

RESULT = "12345678"


class Waiting:
    """A world of so many turns, in which a tool takes its time after each."""

    def __init__(self, *, turns: int, latency_s: float) -> None:
        self._turns, self._latency_s, self._random = turns, latency_s, random.Random()

    async def reset(self, prompt: Prompt, seed: int) -> Observation:
        return Observation(messages=(Message("user", prompt.text),))

    async def step(self, action: Action) -> Observation | Done:
        await asyncio.sleep(self._latency_s * 10 ** self._random.random())
        if action.turn + 1 == self._turns:
            return Done(rewards={})
        return Observation(messages=(Message("user", RESULT),))

    async def close(self) -> None: ...
