"""The rollout engines of a run, as the driver keeps them: which serve, which are held or lost, and who replaces those.

Group workers place trajectories on engines; they are told of every change (:class:`~r1ray.rollout.placement`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, Protocol

from ray.exceptions import RayActorError, RayError

from r1ray.cluster.host import Handle
from r1ray.errors import EngineLost, GroupFailed, InfrastructureError, PromptTooLong
from r1ray.rollout.engine import Generated, TrajectoryRequest
from r1ray.rollout.placement import EngineState
from r1ray.runtime.background import Background
from r1ray.types import EngineTimes

logger = logging.getLogger(__name__)
MAX_STARTS = 3
"""Of an actor in the place of a lost one."""
TOLD_S = 30.0
"""Within so long a group worker is told that an engine is lost which failed it."""


class RemoteEngine:
    """The RolloutEngine role over one actor."""

    def __init__(self, name: str, actor: Handle) -> None:
        self._name, self._actor = name, actor

    async def generate(self, request: TrajectoryRequest) -> Generated:
        """See :class:`r1ray.interfaces.RolloutEngine`."""
        try:
            generated: Generated = await self._actor.generate.remote(request)
        except RayError as error:  # what an actor raises comes as its own class and as Ray's
            if isinstance(error, RayActorError | EngineLost):
                # The driver hears of it too, and tells the group worker, which then ends this call. Until then the slot
                # stays taken: once free, it would draw one trajectory after the other to an engine that is gone.
                await asyncio.sleep(TOLD_S)
                raise EngineLost(f"{self._name} failed: {error}") from error
            failure = PromptTooLong if isinstance(error, PromptTooLong) else GroupFailed
            raise failure(f"trajectory {request.id} on {self._name}: {error}") from error
        return generated

    async def abort(self, ids: Sequence[str]) -> None:
        """See :class:`r1ray.interfaces.RolloutEngine`."""
        with suppress(RayError):  # it died: so does the call that was to be ended
            await self._actor.abort.remote(list(ids))

    async def times(self) -> EngineTimes:
        """See :class:`r1ray.interfaces.RolloutEngine`. Raises EngineLost."""
        try:
            times: EngineTimes = await self._actor.times.remote()
        except RayError as error:
            raise EngineLost(f"{self._name} failed: {error}") from error
        return times


@dataclass(eq=False)
class Engine:
    """One rollout actor."""

    name: str
    actor: Handle
    num_workers: int
    """vLLM workers inside it: tensor-parallel ranks of all pipeline stages."""
    incarnation: int = 0
    state: Literal["serving", "held", "lost"] = "held"
    failed_rounds: int = 0
    """Publishes after which the engine was found wrong; what it sampled in between is not handed on."""

    @property
    def is_lost(self) -> bool:
        return self.state == "lost"


class Told(Protocol):
    """Whoever places trajectories on engines: group workers."""

    async def set_engines(self, states: Sequence[EngineState]) -> None: ...

    def fail(self, error: BaseException) -> None:
        """End what is under way: following the engines failed."""
        ...


class EnginePool:
    """All engines of one kind."""

    def __init__(
        self, engines: Sequence[Engine], spawn: Callable[[str], Handle], told: Told, *, num_slots: int
    ) -> None:
        """
        Args:
            spawn: ``spawn(name)`` starts another actor in the place of the one of that name.
            told: learns of every change.
            num_slots: trajectories that may be under way on one engine.
        """
        self.engines = list(engines)
        self._spawn, self._told, self._num_slots = spawn, told, num_slots
        self._when_lost: list[Callable[[], None]] = []
        self._background = Background(told.fail)
        for engine in self.engines:
            self._watch(engine)

    @property
    def states(self) -> list[EngineState]:
        """What group workers are told."""
        return [
            EngineState(
                name=engine.name,
                incarnation=engine.incarnation,
                engine=RemoteEngine(engine.name, engine.actor),
                num_slots=self._num_slots,
                state=engine.state,
                failed_rounds=engine.failed_rounds,
            )
            for engine in self.engines
        ]

    def when_lost(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called whenever an engine is lost."""
        self._when_lost.append(callback)

    def lose(self, engine: Engine) -> None:
        """Send nothing more to this engine; what it had under way is generated again elsewhere."""
        if not engine.is_lost:
            logger.warning("%s is lost; what it had under way is generated again", engine.name)
            engine.state = "lost"
            for callback in self._when_lost:
                callback()
            self._background.start(self._told.set_engines(self.states))

    async def begin_verification(self) -> None:
        """Hold back what engines produce until :meth:`end_verification`."""
        await self._set_all("held")

    async def end_verification(self) -> None:
        await self._set_all("serving")

    async def replace_lost(self, *, prepare: Callable[[Handle], Awaitable[None]] | None = None) -> int:
        """Start a new actor in the place of each lost one, and ``prepare`` it. Returns how many."""
        lost = [engine for engine in self.engines if engine.is_lost]
        await asyncio.gather(*(self._replace(engine, prepare) for engine in lost))
        return len(lost)

    def close(self) -> None:
        """Watch no engine any more: they are about to end."""
        self._background.close()

    async def _set_all(self, state: Literal["serving", "held"]) -> None:
        for engine in self.engines:
            if not engine.is_lost:
                engine.state = state
        await self._told.set_engines(self.states)

    async def _replace(self, lost: Engine, prepare: Callable[[Handle], Awaitable[None]] | None) -> None:
        lost.actor.kill()
        actor = await self._started(lost.name, prepare)
        fresh = Engine(lost.name, actor, lost.num_workers, lost.incarnation + 1)
        self.engines[self.engines.index(lost)] = fresh
        self._watch(fresh)

    async def _started(self, name: str, prepare: Callable[[Handle], Awaitable[None]] | None) -> Handle:
        """Return another actor of that name, which answers. One that dies while it starts gets a successor: for half a
        minute Ray places actors on a node that it does not yet know to be lost. Raises InfrastructureError."""
        for attempt in range(1, MAX_STARTS + 1):
            actor = self._spawn(name)
            try:
                await actor.ready.remote()
                if prepare is not None:
                    await prepare(actor)
                return actor
            except RayError as error:
                actor.kill()
                if attempt == MAX_STARTS or not isinstance(error, RayActorError):
                    raise InfrastructureError(f"{name} could not be started again: {error}") from error
        raise AssertionError

    def _watch(self, engine: Engine) -> None:
        self._background.start(self._lose_when_it_ends(engine))

    async def _lose_when_it_ends(self, engine: Engine) -> None:
        try:
            await engine.actor.until_dead.remote()
        except RayError as error:
            logger.warning("%s: %s", engine.name, str(error).partition("\n")[0])
        self.lose(engine)
