"""A world of the user's own: plain functions beside coroutines, texts beside observations, and ``close`` where it is
needed.

    class Guess:
        def reset(self, prompt, seed):
            self.number = prompt.columns["number"]

        def step(self, action):
            if str(self.number) in action.content:
                return Done(rewards={"right": 1.0})
            return "No. Guess again."
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from r1ray.environments.registry import method_problem
from r1ray.environments.world_thread import WorldThread
from r1ray.errors import EnvironmentFailed
from r1ray.turns import Action
from r1ray.types import Prompt


class OwnWorld:
    """The user's object, called in a thread of its own. Methods return what the user's return, and raise
    :class:`r1ray.runtime.own_code.Raised` for what they raise."""

    def __init__(self, name: str, make: Callable[[], object]) -> None:
        """``make`` makes the user's object."""
        self._name, self._make = name, make
        self.thread = WorldThread(name)
        self._world: Any = None

    async def check(self) -> None:
        """Make the object, and have it look at what it needs, where it has a method ``check``. Raises EnvironmentFailed
        for an object that is no world."""
        self._world = await self.thread.call(self._make)
        if problem := method_problem(self._world):
            raise EnvironmentFailed(f"environment {self._name}: {problem}", problem)
        if callable(check := getattr(self._world, "check", None)):
            await self.thread.call(check)

    async def reset(self, prompt: Prompt, seed: int) -> object:
        """Make the object, and reset it."""
        self._world = await self.thread.call(self._make)
        return await self.thread.call(self._world.reset, prompt, seed)

    async def step(self, action: Action) -> object:
        return await self.thread.call(self._world.step, action)

    async def close(self) -> None:
        """Have the thread end after the call that it is at, and after the user's ``close``."""
        try:
            if callable(close := getattr(self._world, "close", None)):
                await self.thread.call(close)
        finally:
            self.thread.end()

    @property
    def code(self) -> object:
        """Return what is of the file of the user's code."""
        return self._make if self._world is None else self._world.step
