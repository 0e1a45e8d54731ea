"""One rollout engine of a run: as the driver keeps it, and as group workers ask it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal, Protocol

from ray.exceptions import RayActorError, RayError

from r1ray.cluster.host import Handle
from r1ray.cluster.reasons import reason_of
from r1ray.cluster.silence import is_silent
from r1ray.errors import EngineLost, GroupFailed, PromptTooLong
from r1ray.rollout.engine import Generated, TrajectoryRequest
from r1ray.rollout.placement import EngineState
from r1ray.types import EngineTimes

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
    version: int | None = None
    """The policy version that it serves, or has served last: verified."""
    received: int | None = None
    """The policy version that has arrived whole, verified or not."""
    lost_at: float | None = None
    """When the engine was lost in whose place it is, on the monotonic clock; None once it has served."""
    on_device: Literal["all", "weights", "nothing"] = "all"
    """Part of it that is on a device which it shares with the learner."""
    is_near: bool = True
    """It is on the node of the snapshot, as far as is known: it takes versions from there."""
    num_updates: int = 0
    """Weight updates begun and ended: odd during one, in which the engine answers nobody else."""

    @property
    def is_lost(self) -> bool:
        return self.state == "lost"

    @property
    def is_updating(self) -> bool:
        return self.num_updates % 2 == 1

    def as_state(self, *, num_slots: int) -> EngineState:
        """Return what group workers are told."""
        return EngineState(
            name=self.name,
            incarnation=self.incarnation,
            engine=RemoteEngine(self.name, self.actor),
            num_slots=num_slots,
            state=self.state,
            failed_rounds=self.failed_rounds,
        )


class Told(Protocol):
    """Whoever places trajectories on engines: group workers."""

    async def set_engines(self, states: Sequence[EngineState]) -> None: ...

    def fail(self, error: BaseException) -> None:
        """End what is under way: following the engines failed."""
        ...


@contextmanager
def updating(engines: Sequence[Engine]) -> Iterator[None]:
    """Say of engines that they answer nobody but a publish."""
    for engine in engines:
        engine.num_updates += 1
    try:
        yield
    finally:
        for engine in engines:
            engine.num_updates += 1


async def settled(engine: Engine, *, answer_s: float, within_s: float) -> str:
    """Have an engine end what a broken round has left open, and note what it holds. Returns why it is lost; "" where it
    is not.

    Args:
        answer_s: its front end answers within so long, whatever its workers do.
        within_s: the workers too, which may be waiting for a bucket.
    """
    try:
        if await is_silent(engine.actor.alive, silent_s=answer_s):
            return "its front end answers nothing since a publish has failed"
        async with asyncio.timeout(within_s):
            await engine.actor.ping.remote()
            engine.received = await engine.actor.settle.remote()
    except TimeoutError:
        return "it answers nothing since a publish has failed"
    except RayError as error:
        return reason_of(error)
    return ""
