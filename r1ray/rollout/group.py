"""One group from its request to its last outcome: the unit that is generated, scored and retried as one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from r1ray.errors import EngineLost
from r1ray.interfaces import RolloutEngine, Scorer
from r1ray.types import GroupRequest, ScoredTrajectory

C = TypeVar("C")
MAX_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class FinishedGroup(Generic[C]):
    """All trajectories of a request, and what the scorer said of each."""

    request: GroupRequest
    chunks: tuple[C, ...]
    trajectories: tuple[tuple[ScoredTrajectory, ...], ...]
    """For each chunk, the outcome and the facts of each of its trajectories."""
    generate_s: float
    """From the start of the last attempt to the last trajectory."""
    reward_s: float
    """From the last trajectory to the last outcome."""

    @property
    def all_trajectories(self) -> tuple[ScoredTrajectory, ...]:
        return tuple(trajectory for trajectories in self.trajectories for trajectory in trajectories)


async def run_group(
    rollout: RolloutEngine[C],
    scorer: Scorer[C],
    request: GroupRequest,
    *,
    on_start: Callable[[int], None] = lambda attempt: None,
) -> FinishedGroup[C]:
    """Generate a group and score each trajectory as soon as it is there.

    A group whose engine is lost is generated again from the start, at most ``MAX_ATTEMPTS`` times in all;
    ``on_start`` is called with the number of each attempt, from 1. Raises EngineLost after the last one.
    """
    for attempt in range(1, MAX_ATTEMPTS + 1):
        on_start(attempt)
        try:
            return await _attempt(rollout, scorer, request)
        except EngineLost:
            if attempt == MAX_ATTEMPTS:
                raise
    raise AssertionError("unreachable")


async def _attempt(rollout: RolloutEngine[C], scorer: Scorer[C], request: GroupRequest) -> FinishedGroup[C]:
    start = time.monotonic()
    chunks: list[C] = []
    scoring: list[asyncio.Task[tuple[ScoredTrajectory, ...]]] = []
    try:
        async for chunk in rollout.generate(request):  # o_i ~ pi_old(. | q)
            chunks.append(chunk)
            scoring.append(asyncio.create_task(scorer.score(request.prompt, chunk)))  # r_i
        generated = time.monotonic()
        trajectories = await asyncio.gather(*scoring)
    finally:
        for task in scoring:
            task.cancel()
        await asyncio.gather(*scoring, return_exceptions=True)
    return FinishedGroup(
        request=request,
        chunks=tuple(chunks),
        trajectories=tuple(trajectories),
        generate_s=generated - start,
        reward_s=time.monotonic() - generated,
    )
