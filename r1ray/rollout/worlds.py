"""Worlds as a group worker sees them: where the trajectories of prompts that name an environment take place.

    Worlds.enter(prompt, seed) -> World          World.step(action) -> Observation | Done          World.leave()

Whoever implements them keeps the deadlines of a reset and of a step. ``enter`` and ``step`` raise EnvironmentLost where
the world is gone and InfrastructureError where a machine or a service failed: then the trajectory begins again in
another world. They raise EnvironmentFailed for whatever else the environment's own code raised, and where it took
longer than it may.
"""

from __future__ import annotations

from typing import Protocol

from r1ray.turns import Action, Done, Observation
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

    async def leave(self) -> None:
        """Close it. Never raises; a world that is gone, or was left before, is left already."""
        ...


class Worlds(Protocol):
    """All worlds of a run, by the environments that prompts name."""

    async def enter(self, prompt: Prompt, seed: int) -> World:
        """Make the world of one trajectory in ``prompt.environment``, and reset it."""
        ...
