"""Environment workers: the Worlds of a group worker over them, and who watches and replaces them, in the driver.

group worker: EnvironmentPool --enter, step, run, leave--> EnvironmentWorker (an actor) --> a world
                              --keep, again and again--^
driver: EnvironmentWorkers --status, again and again--> replaces what is dead, silent or worn --> EnvironmentPool.update
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast
from uuid import uuid4

from ray.exceptions import RayActorError, RayError, RayTaskError

from r1ray.cluster.host import Handle, cause_of
from r1ray.cluster.silence import is_silent
from r1ray.environments.worker import EnvironmentStatus
from r1ray.errors import DeadlineExceeded, EnvironmentLost, InfrastructureError, R1RayError
from r1ray.runtime import events
from r1ray.runtime.background import Background
from r1ray.runtime.deadline import within
from r1ray.turns import Access, Action, Done, Observation
from r1ray.types import Prompt

logger = logging.getLogger(__name__)
ROLE = "environment_worker"
PING_S = 5.0
"""Between two questions of the driver's whether a worker answers."""
KEEP_S = 20.0
"""Between two messages of a group worker's that it has use for its worlds."""
AGAIN_S = 2.0
"""Before a worker is started that has just died while it was started; each time twice as long."""
MAX_STARTS = 3
"""Starts in a row of a worker that does not come up."""


# ---------------------------------------------------------------------- in the driver


@dataclass(frozen=True, slots=True)
class _End:
    """The reason to replace a worker, and whether it ever answered."""

    why: str
    has_served: bool


class EnvironmentWorkers:
    """The environment workers of a run, watched and replaced, whichever group workers use them."""

    def __init__(
        self,
        actors: Sequence[Handle],
        spawn: Callable[[int], Handle],
        *,
        start_s: float = math.inf,
        silent_s: float = math.inf,
    ) -> None:
        """
        Args:
            actors: built already.
            spawn: ``spawn(index)`` starts another one in the place of that one.
            start_s: the longest wait for one that is started.
            silent_s: after so long without an answer one is lost.
        """
        self.actors, self._spawn, self._start_s, self._silent_s = list(actors), spawn, start_s, silent_s
        self._num_lost = 0
        self._when_replaced: list[Callable[[], object]] = []
        self._when_failed: list[Callable[[BaseException], object]] = []
        self._background = Background(self._fail)
        for index in range(len(self.actors)):
            self._background.start(self._watch(index))

    def when_replaced(self, callback: Callable[[], object]) -> None:
        """Have ``callback`` called whenever :attr:`actors` has changed."""
        self._when_replaced.append(callback)

    def when_failed(self, callback: Callable[[BaseException], object]) -> None:
        """Have ``callback`` called with the error of a worker that cannot be brought back."""
        self._when_failed.append(callback)

    def metrics(self) -> dict[str, float]:
        """Return ``faults/environment_worker``, if any was lost."""
        return {f"faults/{ROLE}": float(self._num_lost)} if self._num_lost else {}

    def close(self) -> None:
        """Watch no more: all actors are about to end."""
        self._background.close()

    async def try_out(self, prompts: Sequence[Prompt]) -> dict[str, Observation]:
        """See :meth:`r1ray.environments.worker.EnvironmentWorker.try_out`: on one worker."""
        return cast("dict[str, Observation]", await _called(self.actors[0].try_out.remote(prompts)))

    async def _watch(self, index: int) -> None:
        """Replace a worker whenever it has to be."""
        num_starts = 0
        while True:
            actor, reason = self.actors[index], await self._end_of(self.actors[index])
            num_starts = 0 if reason.has_served else num_starts + 1
            if num_starts == MAX_STARTS:
                raise InfrastructureError(
                    f"environment worker {index} cannot be started, after {num_starts} attempts: {reason.why}"
                )
            logger.warning("environment worker %d is lost, and replaced: %s", index, reason.why)
            self._num_lost += 1
            events.note("fault", detail=ROLE)
            actor.kill()
            if num_starts:
                await asyncio.sleep(AGAIN_S * 2 ** (num_starts - 1))
            self.actors[index] = self._spawn(index)
            for callback in self._when_replaced:
                callback()

    async def _end_of(self, actor: Handle) -> _End:
        """Return why a worker has to be replaced, once it has."""
        has_served = False
        try:
            status: EnvironmentStatus = await within(
                self._start_s,
                _called(actor.status.remote()),
                waiter="the driver",
                owner="an environment worker to start",
                key="deadlines.start_s",
            )
            has_served = True

            async def ask() -> None:
                nonlocal status
                status = await _called(actor.status.remote())

            while not await is_silent(ask, silent_s=self._silent_s):
                if status.is_worn:
                    return _End(f"{status.stuck} of its threads are in worlds that do not return", has_served)
                await asyncio.sleep(PING_S)
            return _End(f"it has not answered for {self._silent_s:g} s (rollout.silent_s)", has_served)
        except RayActorError as error:
            return _End(cause_of(error), has_served)
        except DeadlineExceeded as error:
            return _End(str(error), has_served)

    def _fail(self, error: BaseException) -> None:
        for callback in self._when_failed:
            callback(error)


# ---------------------------------------------------------------------- in a group worker


class EnvironmentPool:
    """See :class:`r1ray.rollout.worlds.Worlds`. Who owns the actors replaces those that died, and tells of the new ones
    by :meth:`update`; until then none of their worlds is entered."""

    def __init__(self, actors: Sequence[Handle], *, start_s: float) -> None:
        """``start_s``: the longest wait for an actor while none lives."""
        self._actors, self._start_s = list(actors), start_s
        self._gone: set[int] = set()
        self._open: dict[str, Handle] = {}
        """Worlds that are entered, or being entered, with their actors."""
        self._changed = asyncio.Event()
        self._background = Background(_note_failure)
        self._is_keeping = False

    def update(self, actors: Sequence[Handle]) -> None:
        """Take over the actors that live now, as many as before."""
        self._gone -= {index for index, (old, new) in enumerate(zip(self._actors, actors, strict=True)) if old != new}
        self._actors[:] = actors
        self._changed.set()

    async def enter(self, prompt: Prompt, seed: int) -> RemoteWorld:
        """See :class:`r1ray.rollout.worlds.Worlds`: on the actor that has least to do."""
        if not self._is_keeping:
            self._is_keeping = True
            self._background.start(self._keep())
        actor = await within(
            self._start_s,
            self._least_loaded(),
            waiter="a trajectory",
            owner="an environment worker",
            key="deadlines.start_s",
        )
        world_id = uuid4().hex
        self._open[world_id] = actor
        try:
            observation = await self.ask(actor, "enter", world_id, prompt, seed)
        except BaseException:
            await self.leave(world_id)
            raise
        return RemoteWorld(self, world_id, actor, observation)

    async def ask(self, actor: Handle, method: str, *arguments: Any) -> Any:
        """Return what an actor answers. Raises what it raises, and EnvironmentLost where it died."""
        try:
            return await _called(getattr(actor, method).remote(*arguments))
        except RayActorError as error:
            self._gone |= {index for index, each in enumerate(self._actors) if each == actor}
            raise EnvironmentLost(f"its environment worker died: {cause_of(error)}") from error

    async def leave(self, world_id: str) -> None:
        """Have a world closed, and wait for nothing."""
        actor = self._open.pop(world_id, None)
        if actor is not None:
            self._background.start(_left(actor, world_id))

    async def _least_loaded(self) -> Handle:
        while not (living := [each for index, each in enumerate(self._actors) if index not in self._gone]):
            self._changed.clear()
            await self._changed.wait()
        open_worlds = list(self._open.values())
        return min(living, key=open_worlds.count)

    async def _keep(self) -> None:
        """Tell every actor again and again of the worlds that are open."""
        while True:
            await asyncio.sleep(KEEP_S)
            by_actor: dict[Handle, list[str]] = defaultdict(list)
            for world_id, actor in self._open.items():
                by_actor[actor].append(world_id)
            for actor, world_ids in by_actor.items():
                actor.keep.remote(world_ids)  # one that is gone is noticed by those who step


class RemoteWorld:
    """See :class:`r1ray.rollout.worlds.World`."""

    def __init__(self, pool: EnvironmentPool, world_id: str, actor: Handle, observation: Observation) -> None:
        self._pool, self._id, self._actor, self._observation = pool, world_id, actor, observation

    @property
    def observation(self) -> Observation:
        return self._observation

    async def step(self, action: Action) -> Observation | Done:
        return cast("Observation | Done", await self._pool.ask(self._actor, "step", self._id, action))

    async def begin(self) -> None:
        await self._pool.ask(self._actor, "begin", self._id)

    async def run(self, access: Access) -> Done:
        return cast(Done, await self._pool.ask(self._actor, "run", self._id, access))

    async def stop(self) -> None:
        await self._pool.ask(self._actor, "stop", self._id)

    async def leave(self) -> None:
        await self._pool.leave(self._id)


async def _called(call: Any) -> Any:
    """Return what an actor's method returns. Raises r1ray's errors as they are, RayActorError, and InfrastructureError
    for what else it raised."""
    try:
        return await call
    except RayTaskError as error:
        if isinstance(error.cause, R1RayError):
            raise error.cause from error
        raise InfrastructureError(str(error)) from error
    except RayActorError:
        raise
    except RayError as error:
        raise InfrastructureError(str(error)) from error


async def _left(actor: Handle, world_id: str) -> None:
    with suppress(RayError):  # it is gone, and its worlds with it
        await actor.leave.remote(world_id)


def _note_failure(error: BaseException) -> None:
    logger.warning("a world could not be kept or left: %s: %s", type(error).__name__, error)
