"""From groups to advantages, shards and records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from r1ray.config import AlgoConfig, LearnerConfig, RewardConfig
from r1ray.loop.batch import Batch, make_batch
from r1ray.rollout.group import FinishedGroup
from r1ray.types import Scored, ScoringFailed
from tests.loop.groups import Chunk, make_group


def batch_of(groups: Sequence[FinishedGroup[Chunk]], **algo: Any) -> Batch[Chunk]:
    settings = {"group_size": 3, "prompts_per_step": 2, "minibatches_per_step": 1, "advantage_std": "none"} | algo
    return make_batch(
        groups,
        algo=AlgoConfig(**settings),
        reward=RewardConfig(parts={"accuracy": {}}),
        learner=LearnerConfig(max_tokens_per_microbatch=64),
        version=4,
        seed=0,
    )


def learned(batch: Batch[Chunk]) -> dict[tuple[str, int], tuple[float, int]]:
    """Advantage and tokens of each trajectory that the learner gets, found as the learner finds it."""
    named = {trajectory.id: trajectory for chunk in batch.chunks for trajectory in chunk}
    samples = [s for shard in batch.shards for m in shard.minibatches for micro in m.microbatches for s in micro]
    return {(named[s.id].group_id, named[s.id].index): (s.advantage, s.num_tokens) for s in samples}


RIGHT, WRONG, LOST = Scored(1.0, {}), Scored(0.0, {}), ScoringFailed("down")


def test_every_scored_trajectory_is_learned_with_its_own_advantage() -> None:
    batch = batch_of([make_group("0/0", [RIGHT, WRONG, LOST]), make_group("0/1", [WRONG, WRONG, WRONG])])
    assert learned(batch) == {
        **{("0/0", 0): (0.5, 2 + 1), ("0/0", 1): (-0.5, 2 + 2)},
        **{("0/1", index): (0.0, 2 + index + 1) for index in range(3)},
    }
    assert [record.advantages for record in batch.records] == [(0.5, -0.5, None), (0.0, 0.0, 0.0)]
    assert [shard.learner_version for shard in batch.shards] == [4]
    assert batch.num_updates == 1


def test_records_stand_in_the_order_in_which_trajectories_finished() -> None:
    batch = batch_of([make_group("0/0", [RIGHT, WRONG, LOST], order=[2, 0, 1]), make_group("0/1", [WRONG] * 3)])
    assert [one.index for one in batch.records[0].trajectories] == [2, 0, 1]
    assert batch.records[0].advantages == (None, 0.5, -0.5)
    assert learned(batch)["0/0", 1] == (-0.5, 2 + 2)


@pytest.mark.parametrize(("count_masked", "num_sequences"), [(False, 5), (True, 6)])
def test_a_truncated_trajectory_counts_in_the_baseline_and_not_in_the_loss(
    count_masked: bool, num_sequences: int
) -> None:
    groups = [make_group("0/0", [RIGHT, WRONG, WRONG], truncated=[2]), make_group("0/1", [WRONG] * 3)]
    batch = batch_of(groups, mask_truncated=True, count_masked=count_masked)
    first, second, third = batch.records[0].advantages
    assert (first, second, third) == (pytest.approx(2 / 3), pytest.approx(-1 / 3), None)
    assert ("0/0", 2) not in learned(batch)
    (minibatch,) = batch.shards[0].minibatches
    assert (minibatch.num_sequences, minibatch.num_tokens) == (num_sequences, 1 + 2 + 1 + 2 + 3)


def test_chunks_are_logged_with_the_record_of_their_group() -> None:
    batch = batch_of([make_group("0/0", [RIGHT, WRONG, LOST]), make_group("0/1", [WRONG] * 3)])
    for record, chunks in batch.logged:
        assert {trajectory.group_id for chunk in chunks for trajectory in chunk} == {record.occurrence}
