"""Batch: from the groups of a step to advantages A_i and to the share of every learner rank. Pure functions.

The order in which groups and trajectories finished decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from r1ray.algo.advantage import step_advantages
from r1ray.algo.batching import plan_shards
from r1ray.algo.variants.turn_credit import turn_advantages
from r1ray.config import AlgoConfig, RunConfig
from r1ray.loop.rewards import punish_overlong, rewards_of, turn_rewards_of, weigh
from r1ray.types import GroupRecord, Prompt, SampleRef, ScoredGroup, ScoredTrajectory, Shard, trajectory_id


@dataclass(frozen=True, slots=True)
class Batch:
    """Groups of one step, with what the learner gets of them and what the rollout log keeps."""

    groups: tuple[ScoredGroup, ...]
    """With the rewards that count in this step."""
    shards: tuple[Shard, ...]
    """One for each learner rank."""
    records: tuple[GroupRecord, ...]
    """One for each group."""

    @property
    def num_updates(self) -> int:
        return len(self.shards[0].minibatches)


@dataclass(frozen=True, slots=True)
class _Row:
    """One trajectory, and how many of its tokens are in the loss."""

    id: str
    scored: ScoredTrajectory
    num_loss_tokens: int


_Pair: TypeAlias = tuple[_Row, float | None, tuple[float, ...]]
"""A trajectory, and its advantage; None where it has none. And those of its turns, if they have their own."""


@dataclass(frozen=True, slots=True)
class StepPart:
    """What the learner waits for at a time: the groups of a step, or those of one minibatch."""

    num_groups: int
    num_later: int
    """Groups that the step takes after these."""
    num_minibatches: int
    is_first: bool

    @property
    def is_last(self) -> bool:
        return self.num_later == 0


def parts_of_step(algo: AlgoConfig) -> list[StepPart]:
    """Return all groups of a step as one part, or, if minibatches stream, a part for each minibatch."""
    if not algo.stream_minibatches:
        return [StepPart(algo.prompts_per_step, 0, algo.minibatches_per_step, is_first=True)]
    groups, size = algo.prompts_per_step, algo.prompts_per_step // algo.minibatches_per_step
    return [StepPart(size, groups - start - size, 1, is_first=start == 0) for start in range(0, groups, size)]


def make_batch(
    groups: Sequence[ScoredGroup],
    prompts: Sequence[Prompt],
    part: StepPart,
    config: RunConfig,
    *,
    step: int,
    version: int,
) -> Batch:
    """Return the batch of a step, or a part of it, which takes the policy from ``version`` to the next one.

    Args:
        prompts: of the groups.
    """
    groups, pairs_PG = _advantages(groups, config, step=step)
    shards = _shards(pairs_PG, part, config, step=step, version=version)
    records = tuple(map(_record_of, groups, prompts, pairs_PG))
    return Batch(tuple(groups), shards, records)


def make_shards(
    groups: Sequence[ScoredGroup], part: StepPart, config: RunConfig, *, step: int, version: int
) -> tuple[Shard, ...]:
    """Return the shards alone of :func:`make_batch`, of a step that is computed again: it is recorded already."""
    _, pairs_PG = _advantages(groups, config, step=step)
    return _shards(pairs_PG, part, config, step=step, version=version)


def _advantages(
    groups: Sequence[ScoredGroup], config: RunConfig, *, step: int
) -> tuple[list[ScoredGroup], list[list[_Pair]]]:
    """Return the groups with the rewards that count in a step, and each trajectory with its advantage."""
    algo, reward = config.algo, config.reward
    weighed = [punish_overlong(weigh(group, reward, step=step), algo) for group in groups]
    rows_PG = [_rows_of(group, mask_truncated=algo.mask_truncated) for group in weighed]
    rewards_PG = [  # r_i
        rewards_of(group.trajectories, reward, step=step, epsilon=algo.advantage_epsilon) for group in weighed
    ]
    if algo.teacher.is_alone:  # whoever was scored is trained on, with an advantage of 0 beside the teacher's
        rewards_PG = [[None if r is None else 0.0 for r in rewards_G] for rewards_G in rewards_PG]
    lengths_PG = [[row.num_loss_tokens for row in rows_G] for rows_G in rows_PG]

    def advantages(rewards_PG: Sequence[Sequence[float | None]]) -> list[list[float | None]]:
        return step_advantages(
            rewards_PG,
            lengths_PG,
            baseline=algo.advantage_baseline,
            std=algo.advantage_std,
            epsilon=algo.advantage_epsilon,
            epsilon_in=algo.advantage_epsilon_in,
        )

    advantages_PG = advantages(rewards_PG)  # A_i
    turns_PG: list[list[tuple[float, ...]]] = [[()] * len(rows_G) for rows_G in rows_PG]
    if algo.credit == "turn":
        paid_PG = [[turn_rewards_of(each, reward, step=step) for each in group.trajectories] for group in weighed]
        turns_PG = turn_advantages(rewards_PG, paid_PG, advantages)  # A_i,t
    return weighed, [list(zip(*each, strict=True)) for each in zip(rows_PG, advantages_PG, turns_PG, strict=True)]


def _shards(
    pairs_PG: Sequence[Sequence[_Pair]], part: StepPart, config: RunConfig, *, step: int, version: int
) -> tuple[Shard, ...]:
    algo, learner = config.algo, config.learner
    trained_PG = [
        [(row, a, turns) for row, a, turns in pairs_G if a is not None and (row.num_loss_tokens or algo.count_masked)]
        for pairs_G in pairs_PG
    ]
    return plan_shards(
        [[_sample(row, a, turns) for row, a, turns in trained_G] for trained_G in trained_PG],
        [[row.num_loss_tokens for row, _, _ in trained_G] for trained_G in trained_PG],
        num_minibatches=part.num_minibatches,
        num_ranks=learner.num_shards,
        max_tokens_per_microbatch=learner.max_tokens_per_microbatch,
        learner_version=version,
        seed=config.seed * 1_000_003 + step - 1,
        shares_prompts=learner.packing == "tree",
    )


def _sample(row: _Row, advantage: float, turn_advantages: tuple[float, ...]) -> SampleRef:
    return SampleRef(
        row.id,
        advantage,
        _read_tokens(row),
        turn_advantages,
        num_prompt_tokens=row.scored.num_prompt_tokens,
        num_branches=row.scored.num_branches if row.num_loss_tokens else 1,
    )


def _record_of(group: ScoredGroup, prompt: Prompt, pairs_G: Sequence[_Pair]) -> GroupRecord:
    advantages = tuple(advantage if row.num_loss_tokens else None for row, advantage, _ in pairs_G)
    return GroupRecord(group_id=group.group_id, prompt=prompt, group=group, advantages=advantages, status="trained")


def _rows_of(group: ScoredGroup, *, mask_truncated: bool) -> list[_Row]:
    return [
        _Row(
            trajectory_id(group.group_id, one.index),
            one,
            0 if mask_truncated and one.status == "truncated" else one.num_policy_tokens,
        )
        for one in group.trajectories
    ]


def _read_tokens(row: _Row) -> int:
    """Return what the learner's forward pass reads of a row; of a masked one the prompt alone, for its weight."""
    return row.scored.num_row_tokens if row.num_loss_tokens else row.scored.num_prompt_tokens
