"""Waiting until actors answer, and the pool of engines that do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from ray.exceptions import RayActorError

from r1ray.cluster.engines import Engine, EnginePool, Told
from r1ray.cluster.host import Handle, mistake_of
from r1ray.errors import InfrastructureError
from r1ray.runtime.deadline import within

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
        raise (mistake_of(error) or InfrastructureError(f"an actor could not start: {error}")) from error


def engine_pool(
    section: str,
    actors: Sequence[Handle],
    num_workers: NumWorkers,
    spawn: Callable[[str, int], Handle],
    told: Told,
    *,
    num_slots: int,
) -> EnginePool:
    """Return the pool of a section's engines.

    Args:
        spawn: ``spawn(section, index)`` starts another one in the place of that one.
        told: the group workers that place trajectories on them.
        num_slots: trajectories that may be under way on one of them.
    """
    engines = [Engine(f"{section} {index}", actor, num_workers[actor]) for index, actor in enumerate(actors)]

    def spawn_again(name: str) -> Handle:
        return spawn(section, int(name.removeprefix(f"{section} ")))

    return EnginePool(engines, spawn_again, told, num_slots=num_slots)
