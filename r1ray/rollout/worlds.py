"""Worlds as a group worker sees them: where the trajectories of prompts that name an environment take place.

    Worlds.enter(prompt, seed) -> World          World.step(action) -> Observation | Done          World.leave()
                                                 World.begin(), World.run(access) -> Done, where it has an agent

Whoever implements them keeps the deadlines of a reset and of a step. ``enter``, ``step`` and ``run`` raise
EnvironmentLost where the world is gone and InfrastructureError where a machine or a service failed: then the trajectory
begins again in another world. They raise EnvironmentFailed for whatever else the environment's own code raised, and
where it took longer than it may.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Protocol

from r1ray.errors import EnvironmentFailed
from r1ray.turns import Access, Action, Done, Observation
from r1ray.types import Prompt


class World(Protocol):
    """The world of one trajectory."""

    @property
    def observation(self) -> Observation:
        """The result of its reset: the conversation up to the first turn, and the tools."""
        ...

    async def step(self, action: Action) -> Observation | Done:
        """Answer a turn of the policy's."""
        ...

    async def begin(self) -> None:
        """Return once its agent may run: its time begins then. Raises EnvironmentLost."""
        ...

    async def run(self, access: Access) -> Done:
        """Have its agent call the policy, and return what it has come to (``Observation.is_agents``)."""
        ...

    async def stop(self) -> None:
        """Tell it that its agent is out of time: :meth:`run` returns soon."""
        ...

    async def leave(self) -> None:
        """Close it. Never raises; a world that is gone, or was left before, is left already."""
        ...


class Worlds(Protocol):
    """All worlds of a run, by the environments that prompts name."""

    async def enter(self, prompt: Prompt, seed: int) -> World:
        """Make the world of one trajectory in ``prompt.environment``, and reset it."""
        ...


def numbers_of(rewards: Mapping[str, float]) -> dict[str, float]:
    """Return parts of the reward. Raises EnvironmentFailed where one is no finite number: a total that is none ends a
    run."""
    for name, value in rewards.items():
        if not isinstance(value, Real) or not math.isfinite(value):
            raise EnvironmentFailed(f"the part {name} of its reward is {value!r}", f"gave no number for {name}")
    return {name: float(value) for name, value in rewards.items()}
