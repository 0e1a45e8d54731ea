"""Finished groups for tests: each trajectory in a chunk of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from r1ray.rollout.group import FinishedGroup
from r1ray.types import GroupRequest, Outcome, Sampling, ScoredTrajectory, Trajectory
from tests.fakes import make_prompt, make_trajectory

Chunk = tuple[Trajectory, ...]


def make_group(
    group_id: str, outcomes: Sequence[Outcome], *, order: Sequence[int] | None = None, truncated: Sequence[int] = ()
) -> FinishedGroup[Chunk]:
    """Return the group whose trajectory i has i + 1 tokens and ``outcomes[i]``.

    Args:
        order: in which the trajectories finished.
        truncated: the indices of those that the length limit cut.
    """
    order = range(len(outcomes)) if order is None else order
    trajectories = [
        replace(
            make_trajectory(group_id=group_id, index=index, num_tokens=index + 1),
            status="truncated" if index in truncated else "finished",
        )
        for index in order
    ]
    request = GroupRequest(
        occurrence=group_id,
        prompt=make_prompt(f"p{group_id}"),
        num_completions=len(outcomes),
        sampling=Sampling(1.0, 1.0, 8),
        seed=0,
    )
    return FinishedGroup(
        request=request,
        chunks=tuple((trajectory,) for trajectory in trajectories),
        trajectories=tuple(
            (ScoredTrajectory.of(trajectory, outcomes[trajectory.index], extracted=None),)
            for trajectory in trajectories
        ),
        generate_s=1.0,
        reward_s=0.0,
    )
