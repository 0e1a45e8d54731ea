"""From groups to advantages, shards and records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from r1ray.algo.doors import BASELINES, SCALES
from r1ray.config import AlgoConfig, DataConfig, LearnerConfig, RewardConfig, RunConfig, TeacherConfig
from r1ray.loop.batch import Batch, StepPart, make_batch, parts_of_step
from r1ray.turns import InEnvironment
from r1ray.types import Scored, ScoredGroup, ScoringFailed, group_of
from tests.fakes import make_prompt, samples_of
from tests.loop.groups import make_group


def make_config(**algo: Any) -> RunConfig:
    sizes = {"group_size": 3, "prompts_per_step": 2, "minibatches_per_step": 1, "max_completion_tokens": 32}
    settings: dict[str, Any] = {**sizes, "advantage_std": "none", **algo}
    return RunConfig(
        model="m",
        algo=AlgoConfig(**settings),
        reward=RewardConfig(parts={"accuracy": {}, "step": {"weight": 2.0, "from_environment": True}}),
        learner=LearnerConfig(max_tokens_per_microbatch=64),
        data=DataConfig(train="t", max_prompt_tokens=32),
    )


def batch_of(groups: Sequence[ScoredGroup], *, part: StepPart | None = None, **algo: Any) -> Batch:
    config = make_config(**algo)
    prompts = [make_prompt(f"p{group.group_id}") for group in groups]
    return make_batch(groups, prompts, part or parts_of_step(config.algo)[0], config, step=5, version=4)


def learned(batch: Batch) -> dict[tuple[str, int], tuple[float, int]]:
    """Advantage and tokens of each trajectory that the learner gets, found by its name."""
    samples = [s for shard in batch.shards for m in shard.minibatches for micro in m.microbatches for s in micro]
    facts = {name: (group_of(name), each.index) for name, each, _ in samples_of(batch.shards, batch.groups)}
    return {facts[s.id]: (s.advantage, s.num_tokens) for s in samples}


def long_prompts(group: ScoredGroup) -> ScoredGroup:
    """The group after a prompt of twenty tokens, in the place of two."""
    return replace(
        group,
        trajectories=tuple(
            replace(each, num_prompt_tokens=20, num_row_tokens=each.num_row_tokens + 18) for each in group.trajectories
        ),
    )


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


def test_with_a_teacher_alone_rewards_teach_nothing_and_who_was_scored_is_learned_all_the_same() -> None:
    groups = [make_group("0/0", [RIGHT, WRONG, LOST]), make_group("0/1", [WRONG, WRONG, WRONG])]
    alone = batch_of(groups, teacher=TeacherConfig("t"))
    assert learned(alone) == {name: (0.0, tokens) for name, (_, tokens) in learned(batch_of(groups)).items()}
    assert [record.advantages for record in alone.records] == [(0.0, 0.0, None), (0.0, 0.0, 0.0)]
    beside = batch_of(groups, teacher=TeacherConfig("t", beside_rewards=True))
    assert learned(beside) == learned(batch_of(groups))


@pytest.mark.parametrize("std", sorted(SCALES.paths))
@pytest.mark.parametrize("baseline", sorted(BASELINES.paths))
def test_with_a_teacher_alone_a_group_may_be_of_one(baseline: str, std: str) -> None:
    ways = {"advantage_baseline": baseline, "advantage_std": std, "group_size": 1}
    batch = batch_of([make_group("0/0", [RIGHT]), make_group("0/1", [WRONG])], teacher=TeacherConfig("t"), **ways)
    assert [record.advantages for record in batch.records] == [(0.0,), (0.0,)]


@pytest.mark.parametrize("packing", ["flat", "tree"])
def test_where_prompts_are_shared_the_trajectories_of_a_group_stay_together(packing: str) -> None:
    config = make_config(prompts_per_step=6)
    config = replace(config, learner=replace(config.learner, packing=packing))
    scored = [long_prompts(make_group(f"0/{number}", [RIGHT, WRONG, WRONG])) for number in range(6)]
    prompts = [make_prompt(group.group_id) for group in scored]
    batch = make_batch(scored, prompts, parts_of_step(config.algo)[0], config, step=5, version=4)
    (minibatch,) = batch.shards[0].minibatches
    assert minibatch.num_distinct_tokens == 6 * (20 + 1 + 2 + 3)
    places = [{group_of(sample.id) for sample in micro} for micro in minibatch.microbatches]
    assert (sum(map(len, places)) == 6) == (packing == "tree")
    assert {(sample.num_prompt_tokens, sample.num_branches) for m in minibatch.microbatches for sample in m} == {
        (20, 1)
    }


def test_what_a_worker_removed_is_in_neither_record_nor_loss() -> None:
    groups = [make_group("0/0", [LOST, RIGHT, WRONG], removed={0: "late"}), make_group("0/1", [WRONG] * 3)]
    batch = batch_of(groups)
    group = batch.records[0].group
    assert group is not None and [one.index for one in group.trajectories] == [1, 2]
    assert batch.records[0].advantages == (0.5, -0.5)
    assert learned(batch)["0/0", 2] == (-0.5, 2 + 3) and ("0/0", 0) not in learned(batch)


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


def test_a_record_has_the_group_and_the_prompt_that_it_is_of() -> None:
    batch = batch_of([make_group("0/0", [RIGHT, WRONG, LOST]), make_group("0/1", [WRONG] * 3)])
    for record in batch.records:
        assert record.group is not None and record.group.group_id == record.group_id
        assert record.prompt.id == f"p{record.group_id}"


def in_worlds(turns: Sequence[Sequence[float] | None], totals: Sequence[float]) -> ScoredGroup:
    """Return a group whose trajectory i was paid ``turns[i]`` as part ``step``; None: it was in no environment."""
    parts = [{} if paid is None else {"step": sum(paid)} for paid in turns]
    group = make_group("0/0", [Scored(total, each) for total, each in zip(totals, parts, strict=True)])
    worlds = [
        None if paid is None else InEnvironment(name="maze", turn_rewards=tuple({"step": each} for each in paid))
        for paid in turns
    ]
    return replace(
        group,
        trajectories=tuple(
            replace(one, world=world, num_turns=len(world.turn_rewards) if world else 1)
            for one, world in zip(group.trajectories, worlds, strict=True)
        ),
    )


def test_turns_have_their_own_advantages_where_credit_is_theirs() -> None:
    """Returns, with the part's weight of 2: 1.5, 1, 1; 0.5; 1, 1: see tests/algo/test_turn_credit.py."""
    groups = [in_worlds([[0.25, 0.0, 0.5], None, [0.0, -0.5]], [1.5, 0.5, 1.0]), make_group("0/1", [WRONG] * 3)]
    batch = batch_of(groups, credit="turn")
    samples = {s.id: s for m in batch.shards[0].minibatches for micro in m.microbatches for s in micro}
    assert samples["0/0#0"].turn_advantages == pytest.approx((0.5, 1 / 6, 1 / 6))
    assert samples["0/0#1"].turn_advantages == pytest.approx((-0.5,))
    assert samples["0/0#2"].turn_advantages == pytest.approx((0.0, 1 / 6))
    assert samples["0/1#0"].turn_advantages == (0.0,)
    assert batch.records[0].advantages == (0.5, -0.5, 0.0), "the trajectory's, as its first turn's"
    whole = batch_of(groups)
    assert whole.records == batch.records
    assert not any(s.turn_advantages for m in whole.shards[0].minibatches for micro in m.microbatches for s in micro)
