"""A world whose agent calls the policy, as environment workers host it in tests."""

from __future__ import annotations

import asyncio
from pathlib import Path

from openai import APIError

from r1ray.turns import Access, Done, Observation
from r1ray.types import Prompt
from tests.rollout.agents import client_of, say, told, user


class Calling:
    """Its agent calls twice, and leaves in a folder what became of it: its key, and how it ended."""

    def __init__(self, *, folder: str) -> None:
        self._folder = Path(folder)

    async def reset(self, prompt: Prompt, seed: int) -> Observation:
        return Observation(messages=prompt.messages, is_agents=True)

    async def run(self, access: Access, out_of_time: asyncio.Event) -> Done:
        note = self._folder / access.api_key
        note.write_text("calls")
        try:
            async with client_of(access) as client:
                first = await say(client, [user("go")])
                await say(client, [user("go"), told(first), user("on")])
        except APIError as error:
            note.write_text(f"{type(error).__name__}")
            raise
        note.write_text("solved")
        return Done(rewards={"solved": 1.0})

    async def close(self) -> None: ...
