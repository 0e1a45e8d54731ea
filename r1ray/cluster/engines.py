"""The RolloutEngine role over rollout actors: least-loaded routing, verification, and the replacement of lost ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from ray.exceptions import RayActorError, RayError

from r1ray.cluster.host import Handle, Ref
from r1ray.errors import EngineLost, GroupFailed, InfrastructureError, PromptTooLong
from r1ray.types import GroupRequest

MAX_STARTS = 3
"""Of an actor in the place of a lost one."""


@dataclass(eq=False)
class Engine:
    """One rollout actor."""

    name: str
    actor: Handle
    num_workers: int
    """vLLM workers inside it: tensor-parallel ranks of all pipeline stages."""
    load: int = 0
    """Completions under way."""
    is_lost: bool = False
    verified: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while the engine holds verified weights of the published version."""
    failed_rounds: int = 0
    """Publishes after which the engine was found wrong; what it sampled in between is not handed on."""


class RolloutPool:
    """The RolloutEngine role over rollout actors."""

    def __init__(self, engines: Sequence[Engine], spawn: Callable[[str], Handle]) -> None:
        """``spawn(name)`` starts another actor in the place of the one of that name."""
        self.engines = list(engines)
        self._spawn = spawn
        self._changed = asyncio.Event()
        self.lost = asyncio.Event()
        """Set when an engine is lost; whoever acts on it clears it."""

    async def generate(self, request: GroupRequest) -> AsyncIterator[Ref]:
        """See :class:`r1ray.interfaces.RolloutEngine`. The group goes to the engine with least to do."""
        engine = await self._least_loaded()
        engine.load += request.num_completions
        failed_rounds = engine.failed_rounds
        try:
            stream = engine.actor.generate.stream(request)
            async for ref in stream:
                if ref == stream.completed():  # a failed stream ends with the reference to its exception
                    await ref
                # What an engine sampled under weights that turn out to be wrong is never handed on.
                await engine.verified.wait()
                if engine.is_lost or engine.failed_rounds != failed_rounds:
                    raise EngineLost(f"{engine.name} was found wrong")
                yield ref
        except RayError as error:  # what an actor raises comes as its own class and as Ray's
            if isinstance(error, RayActorError | EngineLost):
                self.lose(engine)
                raise EngineLost(f"{engine.name} failed: {error}") from error
            failure = PromptTooLong if isinstance(error, PromptTooLong) else GroupFailed
            raise failure(f"group {request.occurrence} on {engine.name}: {error}") from error
        finally:
            engine.load -= request.num_completions

    async def _least_loaded(self) -> Engine:
        while True:
            serving = [engine for engine in self.engines if engine.verified.is_set() and not engine.is_lost]
            if serving:
                return min(serving, key=lambda engine: engine.load)
            self._changed.clear()
            await self._changed.wait()

    def lose(self, engine: Engine) -> None:
        """No more requests for this engine; those that wait for its verification end."""
        engine.is_lost = True
        engine.verified.set()
        self.lost.set()

    def begin_verification(self) -> None:
        """Hold back what engines produce until :meth:`end_verification`."""
        for engine in self.engines:
            if not engine.is_lost:
                engine.verified.clear()

    def end_verification(self) -> None:
        for engine in self.engines:
            engine.verified.set()
        self._changed.set()

    async def replace_lost(self, *, prepare: Callable[[Handle], Awaitable[None]] | None = None) -> int:
        """Start a new actor in the place of each lost one, and ``prepare`` it. Returns how many."""
        lost = [engine for engine in self.engines if engine.is_lost]
        for engine in lost:
            engine.actor.kill()
            fresh = Engine(engine.name, await self._started(engine.name, prepare), engine.num_workers)
            self.engines[self.engines.index(engine)] = fresh
        return len(lost)

    async def _started(self, name: str, prepare: Callable[[Handle], Awaitable[None]] | None) -> Handle:
        """Another actor of that name, which answers. One that dies while it starts gets a successor: for half a minute
        Ray places actors on a node that it does not yet know to be lost. Raises InfrastructureError."""
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
