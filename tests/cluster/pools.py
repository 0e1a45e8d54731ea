"""A pool of engines over fakes of our own actors, which answer, hang or die as they are told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from ray.exceptions import RayActorError

from r1ray.cluster.engine import Engine
from r1ray.cluster.engines import EngineActors, EngineLimits, EnginePool
from r1ray.cluster.room import Room
from r1ray.rollout.placement import EngineState


class Actor:
    """A rollout actor. It keeps the methods that were called, and the version that it holds whole."""

    def __init__(
        self,
        *,
        dies: bool = False,
        ready_s: float = 0.0,
        dies_in: str = "",
        fails_in: str = "",
        hangs_in: Sequence[str] = (),
        num_workers: int = 1,
        takes_snapshots: bool = False,
        load_s: float = 0.0,
    ) -> None:
        """
        Args:
            dies: while it starts.
            dies_in: a method; so do all calls after it.
            fails_in: a method, which raises once.
            hangs_in: methods that never return.
            takes_snapshots: they are of its node; it loads one within ``load_s``.
        """
        self.calls: list[str] = []
        self.is_killed, self.holds = False, -1
        self.hangs_in = list(hangs_in)
        self.death = asyncio.Event()
        self._dies, self._dies_in, self._fails_in, self._ready_s = dies, dies_in, fails_in, ready_s
        self._num_workers, self._takes_snapshots, self._load_s = num_workers, takes_snapshots, load_s

    async def alive(self) -> Any:
        return await self.__getattr__("alive").remote()

    def __getattr__(self, name: str) -> Any:
        async def answer(*arguments: Any) -> Any:
            self.calls.append(name)
            if name in self.hangs_in:
                await asyncio.Event().wait()
            if name == self._dies_in:
                self.death.set()
            if name == self._fails_in:
                self._fails_in = ""
                raise RayActorError
            return await self._answer(name, *arguments)

        return SimpleNamespace(remote=answer)

    async def _answer(self, name: str, *arguments: Any) -> Any:
        if name == "until_dead":
            await self.death.wait()
        if name == "ready":
            await asyncio.sleep(self._ready_s)
        if self.death.is_set() or (name == "ready" and self._dies):
            raise RayActorError
        if name == "load_snapshot" and self._takes_snapshots:
            await asyncio.sleep(self._load_s)
            self.holds = arguments[0].version
        answers = {
            "ready": self._num_workers,
            "settle": self.holds,
            "load_snapshot": self._takes_snapshots,
            "logprobs": np.zeros(2, dtype=np.float32),
        }
        return answers.get(name)

    def kill(self) -> None:
        self.is_killed = True
        self.death.set()


class Told:
    """Keeps what group workers are told: name, incarnation and state of every engine."""

    def __init__(self) -> None:
        self.said: list[list[tuple[str, int, str]]] = []
        self.states: Sequence[EngineState] = ()
        self.failure: BaseException | None = None

    async def set_engines(self, states: Sequence[EngineState]) -> None:
        self.states = states
        self.said.append([(each.name, each.incarnation, each.state) for each in states])

    def fail(self, error: BaseException) -> None:
        self.failure = self.failure or error


def pool_of(
    actors: Sequence[Actor],
    told: Any,
    spawn: Callable[[str], Any],
    *,
    min_engines: int = 1,
    start_s: float = 5.0,
    silent_s: float = 5.0,
    room: Room | None = None,
) -> EnginePool:
    """Return a pool of ``rollout 0``, ``rollout 1``, ...; its engines end when they are killed."""
    engines: Any = [Engine(f"rollout {index}", actor, 1) for index, actor in enumerate(actors)]  # type: ignore[arg-type]
    limits = EngineLimits(num_slots=8, min_engines=min_engines, start_s=start_s, silent_s=silent_s)

    async def end(actor: Any) -> None:
        actor.kill()

    return EnginePool(engines, EngineActors(spawn, end, room or Room()), told, limits)


def refuse(name: str) -> Any:
    raise AssertionError("nothing is to be started")


async def until(is_so: Callable[[], bool], *, seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not is_so():
            await asyncio.sleep(0.005)
