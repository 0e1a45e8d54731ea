"""World of the user's own. Its methods may be plain functions or coroutines, and may return texts or observations;
``close`` is optional.

    class Guess:
        def reset(self, prompt, seed):
            self.number = prompt.columns["number"]

        def step(self, action):
            if str(self.number) in action.content:
                return Done(rewards={"right": 1.0})
            return "No. Guess again."
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from r1ray.environments.registry import method_problem
from r1ray.environments.world_thread import WorldThread
from r1ray.errors import EnvironmentFailed
from r1ray.turns import Action
from r1ray.types import Prompt


class OwnWorld:
    """The user's object, called in a thread of its own. Methods return the results of the user's methods, and raise
    :class:`r1ray.runtime.own_code.Raised` for their exceptions."""

    def __init__(self, name: str, make: Callable[[], object], *, maker: object = None) -> None:
        """``make`` creates the user's object, by calling ``maker``."""
        self._name, self._make = name, make
        self._maker = maker.__init__ if inspect.isclass(maker) else maker
        self.thread = WorldThread(name)
        self._world: Any = None
        self.calls = "__init__"
        """The user's method that is being called, or was called last."""

    async def check(self) -> None:
        """Create the object, and call its method ``check``, if it has one. Raises EnvironmentFailed for an object that
        is not a world."""
        await self._call_make()
        if problem := method_problem(self._world):
            raise EnvironmentFailed(f"environment {self._name}: {problem}", problem)
        if callable(check := getattr(self._world, "check", None)):
            self.calls = "check"
            await self.thread.call(check)

    async def reset(self, prompt: Prompt, seed: int) -> object:
        """Create the object, and reset it."""
        await self._call_make()
        self.calls = "reset"
        return await self.thread.call(self._world.reset, prompt, seed)

    async def step(self, action: Action) -> object:
        self.calls = "step"
        return await self.thread.call(self._world.step, action)

    async def close(self) -> None:
        """End the thread after its current call and the user's ``close``."""
        try:
            if callable(close := getattr(self._world, "close", None)):
                await self.thread.call(close)
        finally:
            self.thread.end()

    async def _call_make(self) -> None:
        self.calls, self._world = "__init__", None
        self._world = await self.thread.call(self._make)

    @property
    def code(self) -> object:
        """Return an object that is defined in the file of the user's code."""
        return self._maker if self._world is None else self._world.step
