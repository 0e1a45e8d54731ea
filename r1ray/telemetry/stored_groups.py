"""The groups of a step, from their rows in the rollout log: the way back of :mod:`r1ray.telemetry.rollout_rows`.

RolloutRow  --stored_step-->  ScoredGroup, Trajectory
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from r1ray.checks import ProgramTests
from r1ray.telemetry.rollout_rows import RolloutRow, trajectory_of, world_of
from r1ray.types import (
    Outcome,
    Removed,
    Scored,
    ScoredGroup,
    ScoredTrajectory,
    ScoringFailed,
    Trajectory,
    Unscorable,
    trajectory_id,
)


@dataclass(frozen=True, slots=True)
class StoredStep:
    """Groups that a step was trained on."""

    groups: tuple[ScoredGroup, ...]
    """In the order in which they were trained on."""
    trajectories: Mapping[str, Trajectory]
    """Trajectories by id, as far as the log has their tokens."""


def stored_step(rows: Iterable[RolloutRow]) -> StoredStep:
    """Return what the rows of a step say that it was trained on; of groups that were dropped nothing."""
    by_group: dict[str, list[RolloutRow]] = {}
    for row in rows:
        if row["group_status"] == "trained":
            by_group.setdefault(row["group_id"], []).append(row)
    trajectories = {
        trajectory_id(row["group_id"], row["trajectory"]): trajectory_of(row)
        for members in by_group.values()
        for row in members
        if not is_gone(row)
    }
    groups = tuple(_group_of(group_id, members, trajectories) for group_id, members in by_group.items())
    return StoredStep(groups, trajectories)


def is_gone(row: RolloutRow) -> bool:
    """Return whether the trajectory of a row was lost with the worker that held it, before the log had read it."""
    return row["seconds"]["generate"] is None


def _group_of(group_id: str, members: Sequence[RolloutRow], trajectories: Mapping[str, Trajectory]) -> ScoredGroup:
    scored = [row for row in members if row["outcome"] != "removed"]
    return ScoredGroup(
        group_id=group_id,
        trajectories=tuple(
            _scored_of(row, trajectories.get(trajectory_id(group_id, row["trajectory"]))) for row in scored
        ),
        removed=tuple(
            Removed(index=row["trajectory"], reason=row["detail"] or "", num_policy_tokens=row["num_policy_tokens"])
            for row in members
            if row["outcome"] == "removed"
        ),
        worker=0,
        incarnation="",  # no worker holds them any more
        generate_s=max((row["seconds"]["generate"] or 0.0 for row in members), default=0.0),
        reward_s=max((row["seconds"]["reward"] or 0.0 for row in members), default=0.0),
    )


def _scored_of(row: RolloutRow, trajectory: Trajectory | None) -> ScoredTrajectory:
    return ScoredTrajectory(
        index=row["trajectory"],
        outcome=_outcome_of(row),
        extracted=row["extracted"],
        num_prompt_tokens=len(trajectory.prompt_token_ids) if trajectory is not None else 0,
        num_policy_tokens=row["num_policy_tokens"],
        num_context_tokens=row["num_context_tokens"],
        num_row_tokens=trajectory.num_row_tokens if trajectory is not None else 0,
        num_turns=row["num_turns"],
        num_branches=row["num_branches"],
        status=row["status"],
        oldest_version=row["versions"]["min"],
        newest_version=row["versions"]["max"],
        seconds=row["seconds"]["reward"] or 0.0,
        world=trajectory.world if trajectory is not None else world_of(row),
    )


def _outcome_of(row: RolloutRow) -> Outcome:
    """Return the outcome, without what reward functions raised: of that the log has the text."""
    detail = row["detail"] or ""
    if row["outcome"] == "unscorable":
        return Unscorable(detail)
    if row["outcome"] != "scored" or (total := row["reward"]) is None:
        return ScoringFailed(detail)
    tests = ProgramTests(**told) if (told := row.get("tests")) is not None else None
    return Scored(total, row["rewards"], label=row["label"] or "", detail=detail, tests=tests)
