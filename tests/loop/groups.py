"""Groups as the driver gets them, for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from r1ray.types import Outcome, Removed, ScoredGroup, ScoredTrajectory
from tests.fakes import make_trajectory


def make_group(
    group_id: str,
    outcomes: Sequence[Outcome],
    *,
    truncated: Sequence[int] = (),
    removed: Mapping[int, str] | None = None,
    lengths: Sequence[int] | None = None,
    **facts: float,
) -> ScoredGroup:
    """Return the group whose trajectory i has i + 1 tokens and ``outcomes[i]``.

    Args:
        truncated: the indices of those that the length limit cut.
        removed: those that are not in the group, with their reasons.
        lengths: other numbers of tokens.
        facts: further fields of the group.
    """
    removed = removed or {}
    trajectories = [
        replace(
            make_trajectory(group_id=group_id, index=index, num_tokens=lengths[index] if lengths else index + 1),
            status="truncated" if index in truncated else "finished",
        )
        for index in range(len(outcomes))
    ]
    return ScoredGroup(
        group_id=group_id,
        trajectories=tuple(
            ScoredTrajectory.of(trajectory, outcome, extracted=None)
            for trajectory, outcome in zip(trajectories, outcomes, strict=True)
            if trajectory.index not in removed
        ),
        removed=tuple(
            Removed(index=index, reason=reason, num_policy_tokens=trajectories[index].num_policy_tokens)
            for index, reason in removed.items()
        ),
        worker=0,
        incarnation="first",
        generate_s=1.0,
        reward_s=0.0,
        **facts,  # type: ignore[arg-type]
    )
