"""Turns of engines and learner on the same devices.

    engines() : everything of the engines, nothing of the learner; others may start in the place of lost ones
    learner() : nothing of the engines (vLLM's sleep), everything of the learner
    weights() : the weights of both, for a publish: no keys and values, no optimizer

What an engine holds is on it (:attr:`~r1ray.cluster.engine.Engine.on_device`), so that a turn which broke in the middle
is taken again by taking it. An engine that does not fall asleep or wake within its deadline is lost.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Literal, Protocol

from ray.exceptions import RayError

from r1ray.cluster.engine import Engine
from r1ray.cluster.engines import EnginePool
from r1ray.cluster.learners import LearnerGroup
from r1ray.cluster.reasons import reason_of
from r1ray.cluster.room import Room
from r1ray.errors import DeadlineExceeded, LearnerLost
from r1ray.runtime.deadline import within

UPDATE_POLL_S = 0.05
"""Between two looks at an engine that loads a snapshot."""


class Turns(Protocol):
    """Turns of engines and learner on the same devices. Raises LearnerLost where that does not come or go."""

    @property
    def has_learner(self) -> bool:
        """Engines cannot generate before they have the devices back."""
        ...

    async def engines(self) -> None: ...

    async def learner(self) -> None: ...

    async def weights(self) -> None: ...

    def seconds(self) -> dict[str, float]:
        """Return what the turns took since the last call. See :class:`~r1ray.types.PublishStats`."""
        ...


class NoTurns:
    """The Turns role where engines and learner have devices of their own."""

    has_learner = False

    async def engines(self) -> None:
        return

    async def learner(self) -> None:
        return

    async def weights(self) -> None:
        return

    def seconds(self) -> dict[str, float]:
        return {}


class SharedDevices:
    """The Turns role where they share them. At first the engines sleep, and the learner is there."""

    def __init__(self, pool: EnginePool, learner: LearnerGroup, room: Room, *, level: int, phase_s: float) -> None:
        """
        Args:
            room: where engines start in the place of lost ones.
            level: vLLM's sleep level.
            phase_s: bounds each fall asleep, each wake, and the learner's coming and going.
        """
        self._pool, self._learner, self._room = pool, learner, room
        self._level, self._phase_s = level, phase_s
        self._learner_has: Literal["all", "weights", "nothing"] = "all"
        self._spent = {"sleep": 0.0, "wake": 0.0, "learner": 0.0}
        for engine in pool.engines:
            engine.on_device = "nothing"
        room.is_open = False
        learner.before_restart(self._make_room)

    @property
    def has_learner(self) -> bool:
        """See :class:`Turns`."""
        return self._learner_has != "nothing"

    async def engines(self) -> None:
        """See :class:`Turns`. Engines that sleep with their weights lost need a publish first."""
        await self._have_learner("nothing")
        await self._wake("weights", self._that_have("nothing"))
        await self._wake("kv_cache", self._that_have("weights"))
        self._room.open()

    async def learner(self) -> None:
        """See :class:`Turns`."""
        await self._put_to_sleep()
        await self._have_learner("all")

    async def weights(self) -> None:
        """See :class:`Turns`."""
        if self._that_have("all", "nothing") or self._learner_has == "nothing":
            await self.learner()
        await self._have_learner("weights")
        await self._wake("weights", self._that_have("nothing"))

    def seconds(self) -> dict[str, float]:
        """See :class:`Turns`."""
        spent, self._spent = self._spent, dict.fromkeys(self._spent, 0.0)
        return {"hand_over": sum(spent.values()), "sleep": spent["sleep"], "wake": spent["wake"]}

    async def _make_room(self) -> None:
        """Put engines to sleep for ranks that are about to be started, with everything."""
        await self._put_to_sleep()
        self._learner_has = "all"

    async def _put_to_sleep(self) -> None:
        await self._room.close()
        while any(engine.is_updating for engine in self._pool.living):
            await asyncio.sleep(UPDATE_POLL_S)
        engines = self._that_have("all", "weights")
        for engine in engines:
            engine.on_device = "nothing"  # before it is so: from here on nobody else may ask anything of it
            if self._level == 2:
                engine.version = engine.received = None
        await self._on_each(engines, "sleep", self._level, spent="sleep")

    async def _wake(self, part: str, engines: Sequence[Engine]) -> None:
        await self._on_each(engines, "wake", part, spent="wake")
        for engine in engines:
            engine.on_device = "all" if part == "kv_cache" else "weights"

    def _that_have(self, *parts: str) -> list[Engine]:
        return [engine for engine in self._pool.living if engine.on_device in parts]

    async def _on_each(self, engines: Sequence[Engine], method: str, argument: Any, *, spent: str) -> None:
        """Call a method of engines at once. Whoever raises, or does not answer, is lost."""

        async def call(engine: Engine) -> None:
            answer = getattr(engine.actor, method).remote(argument)
            key = "deadlines.publish_s"
            try:
                await within(self._phase_s, answer, waiter="the turns", owner=engine.name, key=key)
            except DeadlineExceeded as error:
                self._pool.lose(engine, f"{method} {argument}: {error}")
            except RayError as error:
                self._pool.lose(engine, f"{method} {argument}: {reason_of(error)}")

        began = time.monotonic()
        await asyncio.gather(*map(call, engines))
        self._spent[spent] += time.monotonic() - began

    async def _have_learner(self, part: Literal["all", "weights", "nothing"]) -> None:
        if self._learner_has == part:
            return
        began = time.monotonic()
        method = {"all": "come_back", "weights": "step_aside", "nothing": "leave"}[part]
        moving, key = self._learner.each(method), "deadlines.publish_s"
        try:
            await within(self._phase_s, moving, waiter="the turns", owner="the learner group", key=key)
        except DeadlineExceeded as error:
            raise LearnerLost(str(error)) from error
        self._learner_has = part
        self._spent["learner"] += time.monotonic() - began
