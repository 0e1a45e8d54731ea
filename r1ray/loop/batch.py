"""Batch: from the groups of a step to advantages A_i and to the share of every learner rank. Pure functions.

The order in which groups and trajectories finished decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from r1ray.algo.advantage import step_advantages
from r1ray.algo.batching import plan_shards
from r1ray.config import AlgoConfig, LearnerConfig, RewardConfig
from r1ray.loop.rewards import rewards_of, weigh
from r1ray.rollout.group import FinishedGroup
from r1ray.types import GroupRecord, SampleRef, ScoredTrajectory, Shard, trajectory_id

C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class Batch(Generic[C]):
    """One step's groups, with what the learner gets of them and what the rollout log keeps."""

    groups: tuple[FinishedGroup[C], ...]
    """With the rewards that count in this step."""
    shards: tuple[Shard, ...]
    """One for each learner rank."""
    records: tuple[GroupRecord, ...]
    """One for each group."""

    @property
    def chunks(self) -> list[C]:
        """All chunks of all groups: they hold the trajectories that the shards name."""
        return [chunk for group in self.groups for chunk in group.chunks]

    @property
    def logged(self) -> list[tuple[GroupRecord, Sequence[C]]]:
        return [(record, group.chunks) for record, group in zip(self.records, self.groups, strict=True)]

    @property
    def num_updates(self) -> int:
        return len(self.shards[0].minibatches)


@dataclass(frozen=True, slots=True)
class _Row:
    """One trajectory: its name, and how many of its tokens are in the loss."""

    id: str
    scored: ScoredTrajectory
    num_loss_tokens: int


def make_batch(
    groups: Sequence[FinishedGroup[C]],
    *,
    algo: AlgoConfig,
    reward: RewardConfig,
    learner: LearnerConfig,
    version: int,
    seed: int,
) -> Batch[C]:
    """Return the batch that takes the policy from ``version`` to the next one."""
    step = version + 1
    groups = [weigh(group, reward, step=step) for group in groups]
    rows_PG = _rows_of(groups, mask_truncated=algo.mask_truncated)
    rewards_PG = [  # r_i
        rewards_of([row.scored for row in rows_G], reward, step=step, epsilon=algo.advantage_epsilon)
        for rows_G in rows_PG
    ]
    advantages_PG = step_advantages(  # A_i
        rewards_PG,
        [[row.num_loss_tokens for row in rows_G] for rows_G in rows_PG],
        baseline=algo.advantage_baseline,
        std=algo.advantage_std,
        epsilon=algo.advantage_epsilon,
        epsilon_in=algo.advantage_epsilon_in,
    )
    return Batch(
        tuple(groups),
        _shards_of(rows_PG, advantages_PG, algo=algo, learner=learner, version=version, seed=seed),
        tuple(map(_record_of, groups, rows_PG, advantages_PG)),
    )


def _rows_of(groups: Sequence[FinishedGroup[C]], *, mask_truncated: bool) -> list[list[_Row]]:
    """Return the rows of each group, in the order of their indices."""

    def row_of(group_id: str, scored: ScoredTrajectory) -> _Row:
        is_masked = mask_truncated and scored.status == "truncated"
        return _Row(trajectory_id(group_id, scored.index), scored, 0 if is_masked else scored.num_policy_tokens)

    return [
        sorted(
            (row_of(group.request.occurrence, one) for one in group.all_trajectories), key=lambda row: row.scored.index
        )
        for group in groups
    ]


def _shards_of(
    rows_PG: Sequence[Sequence[_Row]],
    advantages_PG: Sequence[Sequence[float | None]],
    *,
    algo: AlgoConfig,
    learner: LearnerConfig,
    version: int,
    seed: int,
) -> tuple[Shard, ...]:
    pairs = [pair for pairs in map(zip, rows_PG, advantages_PG) for pair in pairs]
    trained = [(row, a) for row, a in pairs if a is not None and (row.num_loss_tokens or algo.count_masked)]
    return plan_shards(
        [SampleRef(row.id, a, row.scored.num_row_tokens) for row, a in trained],
        [row.num_loss_tokens for row, _ in trained],
        num_minibatches=algo.minibatches_per_step,
        num_ranks=learner.num_shards,
        max_tokens_per_microbatch=learner.max_tokens_per_microbatch,
        learner_version=version,
        seed=seed * 1_000_003 + version,
    )


def _record_of(group: FinishedGroup[C], rows_G: Sequence[_Row], advantages_G: Sequence[float | None]) -> GroupRecord:
    """Return what the rollout log keeps; its trajectories stand in the order in which they finished."""
    pairs = zip(rows_G, advantages_G, strict=True)
    trained = {row.scored.index: advantage if row.num_loss_tokens else None for row, advantage in pairs}
    scored = group.all_trajectories
    advantages = tuple(trained[one.index] for one in scored)
    return GroupRecord(group.request.occurrence, group.request.prompt, scored, advantages, "trained")
