"""Agents that call the policy: worlds whose agent is a function of the test's, and groups over them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from openai.types.chat import ChatCompletion

from r1ray.config.environment import EnvironmentConfig
from r1ray.endpoint.server import Endpoint
from r1ray.rollout.episode import Episodes
from r1ray.rollout.placement import EngineState, Placement
from r1ray.rollout.turn_sampler import GroupTurns, TurnSampler
from r1ray.turns import Access, Action, Done, Observation
from r1ray.types import Prompt, Trajectory
from tests.rollout.scripted import Engine, Renderer, request, state

Agent = Callable[[AsyncOpenAI], Awaitable[Done | None]]
TOOLS: list[Any] = [{"type": "function", "function": {"name": "add", "description": "", "parameters": {}}}]


@dataclass
class AgentWorld:
    agent: Callable[[Access, asyncio.Event], Awaitable[Done]]
    observation: Observation
    out_of_time: asyncio.Event = field(default_factory=asyncio.Event)
    running: asyncio.Task[Done] | None = None
    has_begun: bool = False
    is_left: bool = False

    async def step(self, action: Action) -> Observation | Done:
        raise AssertionError("an agent takes the turns")

    async def begin(self) -> None:
        self.has_begun = True

    async def run(self, access: Access) -> Done:
        assert self.has_begun
        self.running = asyncio.ensure_future(self.agent(access, self.out_of_time))
        return await self.running

    async def stop(self) -> None:
        self.out_of_time.set()

    async def leave(self) -> None:
        self.is_left = True
        if self.running is not None:
            self.running.cancel()


@dataclass
class AgentWorlds:
    """Worlds that run ``agent(access, out_of_time)``."""

    agent: Callable[[Access, asyncio.Event], Awaitable[Done]]
    made: list[AgentWorld] = field(default_factory=list)

    async def enter(self, prompt: Prompt, seed: int) -> AgentWorld:
        self.made.append(AgentWorld(self.agent, Observation(messages=prompt.messages, is_agents=True)))
        return self.made[-1]


def by_client(agent: Agent) -> Callable[[Access, asyncio.Event], Awaitable[Done]]:
    """Return an agent that gets a client of the package ``openai``."""

    async def run(access: Access, out_of_time: asyncio.Event) -> Done:
        async with client_of(access) as client:
            return await agent(client) or Done(rewards={"solved": 1.0}, label="exited")

    return run


def client_of(access: Access) -> AsyncOpenAI:
    """A client of an access; it needs no certificates, which take long to read."""
    plain = DefaultAsyncHttpxClient(verify=False)
    return AsyncOpenAI(base_url=access.base_url, api_key=access.api_key, max_retries=0, http_client=plain)


async def say(client: AsyncOpenAI, messages: Sequence[Any], **more: Any) -> ChatCompletion:
    settings: dict[str, Any] = {"model": "policy", "messages": list(messages)} | more
    answer = await client.chat.completions.create(**settings)
    assert isinstance(answer, ChatCompletion)
    return answer


def told(answer: ChatCompletion) -> Any:
    """An answer as a message of the history."""
    return answer.choices[0].message.model_dump(exclude_none=True)


def user(text: str) -> Any:
    return {"role": "user", "content": text}


async def play(
    agent: Callable[[Access, asyncio.Event], Awaitable[Done]],
    *engines: Engine | EngineState,
    renderer: Any = None,
    max_prompt_tokens: int = 1000,
    max_tokens: int = 1000,
    max_row_tokens: int = sys.maxsize,
    deadline_s: float = 5.0,
    **config: Any,
) -> Trajectory:
    """Return the trajectory of an agent."""
    placement = Placement()
    placement.update([each if isinstance(each, EngineState) else state(each) for each in engines])
    sampler, turns, endpoint = TurnSampler(placement, deadline_s=deadline_s), GroupTurns(), Endpoint("127.0.0.1")
    worlds = AgentWorlds(agent)
    episodes = Episodes(
        worlds,
        renderer or Renderer(),
        EnvironmentConfig(**config),
        max_prompt_tokens=max_prompt_tokens,
        max_row_tokens=max_row_tokens,
        endpoint=endpoint,
    )
    try:
        return await episodes.play(
            request(max_tokens=max_tokens),
            lambda each: sampler.sample(turns, each),
            begun=lambda episode: None,
            end=lambda name: sampler.end(turns, name),
        )
    finally:
        await endpoint.stop()
        assert all(world.is_left for world in worlds.made)
