"""The rollout engines of a run, as the driver keeps them: which serve, which are held or lost, and who replaces those.

    an engine ends, is stopped, or answers nothing --> lost --> another one in its place --> ready --> held --> serving

Each lost engine is replaced at once, beside all others. Group workers place trajectories on engines; they are told of
every change (:class:`~r1ray.rollout.placement`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ray.exceptions import RayActorError, RayError

from r1ray.cluster.engine import Engine, Told
from r1ray.cluster.host import Handle, cause_of
from r1ray.cluster.room import Room
from r1ray.cluster.silence import is_silent
from r1ray.errors import DeadlineExceeded, InfrastructureError
from r1ray.rollout.placement import EngineState
from r1ray.runtime.background import Background
from r1ray.runtime.deadline import within

logger = logging.getLogger(__name__)
MAX_STARTS = 3
"""Attempts to start an actor in the place of a lost one, before a pause."""
RETRY_S = 10.0
"""That pause."""
PING_S = 5.0
"""Between two questions whether an engine answers."""


@dataclass(frozen=True, slots=True)
class EngineActors:
    """Starts and ends engines."""

    spawn: Callable[[str], Handle]
    """``spawn(name)`` starts an actor for the engine of that name."""
    end: Callable[[Handle], Awaitable[None]]
    """Ends an actor, stopped or not, with all of its processes."""
    room: Room = field(default_factory=Room)
    """Room in which another one can start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLimits:
    """Limits of a pool, by the configuration."""

    num_slots: int
    """Trajectories that may be under way on one engine."""
    min_engines: int
    """With fewer that live or may come back, the run ends."""
    start_s: float
    """Deadline of an engine that replaces a lost one."""
    silent_s: float
    """After so long without an answer an engine is lost."""


class EnginePool:
    """All engines of one kind."""

    def __init__(self, engines: Sequence[Engine], actors: EngineActors, told: Told, limits: EngineLimits) -> None:
        """``told`` learns of every change."""
        self.engines = list(engines)
        self._actors, self._told, self._limits = actors, told, limits
        self._away: set[str] = set()
        """Names of lost engines in whose place none could be started yet."""
        self._when_lost: list[Callable[[], None]] = []
        self._when_ready: list[Callable[[Engine], Awaitable[None]]] = []
        self._came = asyncio.Event()
        self._is_closed = False
        self._background = Background(told.fail)
        for engine in self.engines:
            self._watch(engine)

    @property
    def states(self) -> list[EngineState]:
        """What group workers are told."""
        return [engine.as_state(num_slots=self._limits.num_slots) for engine in self.engines]

    @property
    def living(self) -> list[Engine]:
        """Those that answer, as far as is known."""
        return [engine for engine in self.engines if not engine.is_lost]

    def when_lost(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called whenever an engine is lost."""
        self._when_lost.append(callback)

    def when_ready(self, callback: Callable[[Engine], Awaitable[None]]) -> None:
        """Have ``callback`` called with each engine in the place of a lost one, once it answers. It is held."""
        self._when_ready.append(callback)

    def fail(self, error: BaseException) -> None:
        """End what is under way with an error of what runs beside it."""
        self._told.fail(error)

    def lose(self, engine: Engine, reason: str = "") -> None:
        """Send nothing more to this engine, and start another one; what it had under way is generated again
        elsewhere."""
        if engine.is_lost or self._is_closed:
            return
        cause = f": {reason.partition(chr(10))[0]}" if reason else ""
        logger.warning("%s is lost%s; what it had under way is generated again", engine.name, cause)
        engine.state = "lost"
        for callback in self._when_lost:
            callback()
        self._background.start(self._told.set_engines(self.states))
        self._background.start(self._replace(engine))

    async def hold(self, engines: Iterable[Engine]) -> None:
        """Hold back what engines of this pool produce until :meth:`serve`."""
        await self._set(engines, "held")

    async def serve(self, engines: Iterable[Engine]) -> None:
        """Hand on what engines of this pool have produced, and produce."""
        for engine in engines:
            if engine.lost_at is not None and not engine.is_lost:
                logger.info("%s is back after %.1f s", engine.name, time.monotonic() - engine.lost_at)
                engine.lost_at = None
        await self._set(engines, "serving")

    def follow(self, names: AsyncIterator[str]) -> None:
        """Start another engine for each name that comes, beside those that are there."""
        self._background.start(self._welcome(names))

    async def some(self) -> None:
        """Wait until an engine lives. Raises DeadlineExceeded."""
        while not self.living:
            self._came.clear()
            await within(
                self._limits.start_s,
                self._came.wait(),
                waiter="the publish",
                owner="an engine that replaces a lost one",
                key="deadlines.start_s",
            )

    def close(self) -> None:
        """Watch no engine any more: they are about to end."""
        self._is_closed = True
        self._background.close()

    async def _set(self, engines: Iterable[Engine], state: Literal["serving", "held"]) -> None:
        for engine in engines:
            if engine in self.engines and not engine.is_lost:
                engine.state = state
        await self._told.set_engines(self.states)

    # ------------------------------------------------------------------ replacing, joining

    async def _welcome(self, names: AsyncIterator[str]) -> None:
        async for name in names:
            logger.info("%s joins the run", name)
            self._background.start(self._join(name))

    async def _join(self, name: str) -> None:
        fresh = Engine(name, *await self._started_at_last(name))
        self.engines.append(fresh)
        await self._begin(fresh)

    async def _replace(self, lost: Engine) -> None:
        began = time.monotonic()
        await self._actors.end(lost.actor)
        fresh = Engine(lost.name, *await self._started_at_last(lost.name), lost.incarnation + 1, lost_at=began)
        self.engines[self.engines.index(lost)] = fresh
        await self._begin(fresh)

    async def _begin(self, fresh: Engine) -> None:
        self._watch(fresh)
        self._came.set()
        for callback in self._when_ready:
            await callback(fresh)

    async def _started_at_last(self, name: str) -> tuple[Handle, int]:
        """Return another actor of that name, and the number of its workers. Where none can be had, the run goes on
        with the others, and this tries again. Raises InfrastructureError where they are too few."""
        while True:
            try:
                started = await self._started(name)
            except InfrastructureError as error:
                self._away.add(name)
                num_left = sum(engine.name not in self._away for engine in self.engines)
                if num_left < self._limits.min_engines:
                    raise
                logger.warning("%s; the run goes on with %d engines, and tries again", error, num_left)
                await asyncio.sleep(RETRY_S)
            else:
                self._away.discard(name)
                return started

    async def _started(self, name: str) -> tuple[Handle, int]:
        """One that dies while it starts gets a successor: for half a minute Ray places actors on a node that it does
        not yet know to be lost."""
        async with self._actors.room.taken():
            return await self._answering(name)

    async def _answering(self, name: str) -> tuple[Handle, int]:
        for attempt in range(1, MAX_STARTS + 1):
            actor = self._actors.spawn(name)
            try:
                return actor, await within(
                    self._limits.start_s,
                    actor.ready.remote(),
                    waiter="the run",
                    owner=f"{name}, started again",
                    key="deadlines.start_s",
                )
            except DeadlineExceeded:
                await self._actors.end(actor)
                raise
            except RayError as error:
                await self._actors.end(actor)
                if attempt == MAX_STARTS or not isinstance(error, RayActorError):
                    raise InfrastructureError(f"{name} could not be started again: {error}") from error
        raise AssertionError

    # ------------------------------------------------------------------ watching

    def _watch(self, engine: Engine) -> None:
        self._background.start(self._lose_when_it_ends(engine))
        self._background.start(self._lose_when_silent(engine))

    async def _lose_when_it_ends(self, engine: Engine) -> None:
        try:
            await engine.actor.until_dead.remote()
        except RayError as error:
            self.lose(engine, cause_of(error))

    async def _lose_when_silent(self, engine: Engine) -> None:
        """A weight update, in which an engine answers nobody, has bounds of its own."""
        while not engine.is_lost:
            num_updates = engine.num_updates
            try:
                silent = await is_silent(engine.actor.ping.remote, silent_s=self._limits.silent_s)
            except RayError:
                return  # it ended, which is noticed elsewhere
            if silent and num_updates == engine.num_updates and not engine.is_updating:
                self.lose(engine, f"it has not answered for {self._limits.silent_s:g} s (rollout.silent_s)")
            await asyncio.sleep(PING_S)
