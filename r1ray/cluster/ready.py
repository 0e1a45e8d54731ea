"""Waiting until actors answer, and the pool of engines that do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from ray.exceptions import RayActorError, RayError

from r1ray.cluster.engine import Engine, Told
from r1ray.cluster.engines import EngineActors, EngineLimits, EnginePool
from r1ray.cluster.host import Handle, cause_of, mistake_of
from r1ray.cluster.room import Room
from r1ray.cluster.spawn import Spawner
from r1ray.errors import InfrastructureError
from r1ray.runtime.deadline import within

logger = logging.getLogger(__name__)
MAX_STARTS = 2
"""Attempts for a learner whose ranks die before any work is done: what kills them a second time will do so again."""
NumWorkers = Mapping[Handle, int]
"""vLLM workers of each engine."""


async def all_ready(built: Sequence[Handle], engines: Sequence[Handle] = (), *, start_s: float) -> NumWorkers:
    """Wait for the constructor of every actor, and for every engine to answer.

    Args:
        engines: rollout engines and judges.
        start_s: the longest wait, seconds.

    Raises the user's mistake that only an actor could find, and InfrastructureError.
    """

    async def answers() -> NumWorkers:
        alive = [actor.alive() for actor in built]
        ready = [actor.ready.remote() for actor in engines]
        num_workers, *_ = await asyncio.gather(asyncio.gather(*ready), *alive)
        return dict(zip(engines, num_workers, strict=True))

    try:
        return await within(start_s, answers(), waiter="the run", owner="the actors to start", key="deadlines.start_s")
    except RayActorError as error:
        raise (mistake_of(error) or InfrastructureError(f"an actor could not start: {cause_of(error)}")) from error


async def then_asleep(
    ready: Awaitable[NumWorkers], engines: Sequence[Handle], *, level: int, start_s: float
) -> NumWorkers:
    """Put engines to sleep once they are ready, so that the learner finds room where they are. Returns what ``ready``
    does."""
    num_workers = await ready
    calls = asyncio.gather(*(engine.sleep.remote(level) for engine in engines))
    try:
        await within(start_s, calls, waiter="the run", owner="engines to fall asleep", key="deadlines.start_s")
    except RayError as error:
        raise InfrastructureError(f"an engine could not fall asleep: {cause_of(error)}") from error
    return num_workers


async def ranks_ready(
    start: Callable[[], Awaitable[tuple[Sequence[Handle], str]]], *, start_s: float
) -> tuple[Sequence[Handle], str]:
    """Start the ranks of a learner and wait until all answer; once more where one died. Returns what ``start`` does.

    Raises the user's mistake that only a rank could find, and InfrastructureError.
    """
    for attempt in range(1, MAX_STARTS + 1):
        ranks, address = await start()
        answers = asyncio.gather(*(rank.alive() for rank in ranks))
        try:
            await within(start_s, answers, waiter="the run", owner="the learner to start", key="deadlines.start_s")
            return ranks, address
        except RayActorError as error:
            if mistake := mistake_of(error):
                raise mistake from error
            if attempt == MAX_STARTS:
                raise InfrastructureError(f"a learner rank could not start: {cause_of(error)}") from error
            logger.warning("a learner rank died while it started; the group is started once more")
            for rank in ranks:
                rank.kill()
    raise AssertionError


def engine_pool(
    section: str,
    actors: Sequence[Handle],
    num_workers: NumWorkers,
    spawner: Spawner,
    spawn: Callable[[str, int], Handle],
    told: Told,
    limits: EngineLimits,
    room: Room | None = None,
) -> EnginePool:
    """Return the pool of a section's engines.

    Args:
        spawner: has made them, and ends them.
        spawn: ``spawn(section, index)`` starts another one in the place of that one.
        told: the group workers that place trajectories on them.
        room: where another one can start; None: everywhere.
    """
    engines = [Engine(f"{section} {index}", actor, num_workers[actor]) for index, actor in enumerate(actors)]

    def spawn_again(name: str) -> Handle:
        return spawn(section, int(name.removeprefix(f"{section} ")))

    return EnginePool(engines, EngineActors(spawn_again, spawner.end_engine, room or Room()), told, limits)
