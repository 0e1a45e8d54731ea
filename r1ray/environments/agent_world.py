"""Role of a world whose agent takes the turns itself."""

from __future__ import annotations

import asyncio
from typing import Protocol

from r1ray.turns import Access, Done, Observation
from r1ray.types import Prompt


class AgentWorld(Protocol):
    """An environment with an agent. ``reset`` and ``close``, and the exceptions, are those of
    :class:`r1ray.interfaces.Environment`; the observation has ``is_agents``, and its messages are the task."""

    async def reset(self, prompt: Prompt, seed: int) -> Observation: ...

    async def run(self, access: Access, out_of_time: asyncio.Event) -> Done:
        """Return the result of the agent once it has ended. When ``out_of_time`` is set, end the agent and judge its
        unfinished work within ``environment.step_timeout_s``; otherwise this call is cancelled."""
        ...

    async def close(self) -> None: ...
