"""Plans: nothing lost, nothing doubled, budgets kept, ranks in step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1ray.algo.batching import (
    balance,
    group_units,
    num_distinct_tokens,
    pack,
    pack_groups,
    pack_samples,
    plan_shards,
    split_minibatches,
)
from r1ray.types import SampleRef, Shard

lengths = st.lists(st.integers(1, 50), min_size=1, max_size=40)


@given(st.integers(1, 50), st.integers(1, 8), st.integers(0, 99))
def test_minibatches_are_a_partition_of_nearly_equal_parts(items: int, parts: int, seed: int) -> None:
    split = split_minibatches(items, num_minibatches=parts, seed=seed)
    assert sorted(i for part in split for i in part) == list(range(items))
    assert max(map(len, split)) - min(map(len, split)) <= 1


def test_the_split_depends_on_the_seed_alone() -> None:
    assert split_minibatches(40, num_minibatches=4, seed=1) == split_minibatches(40, num_minibatches=4, seed=1)
    assert split_minibatches(40, num_minibatches=4, seed=1) != split_minibatches(40, num_minibatches=4, seed=2)


@given(lengths, st.integers(1, 6))
def test_parts_differ_by_no_more_than_the_longest_sequence(values: list[int], parts: int) -> None:
    balanced = balance(values, num_parts=parts)
    assert sorted(i for part in balanced for i in part) == list(range(len(values)))
    totals = [sum(values[i] for i in part) for part in balanced]
    assert max(totals) - min(totals) <= max(values)


@given(lengths, st.integers(1, 4), st.integers(50, 200))
def test_packs_keep_to_the_budget_and_every_rank_has_as_many(values: list[int], ranks: int, budget: int) -> None:
    packed = pack(values, num_ranks=ranks, max_tokens=budget)
    assert len(packed) == ranks
    assert len({len(microbatches) for microbatches in packed}) == 1
    assert sorted(i for micros in packed for micro in micros for i in micro) == list(range(len(values)))
    assert all(sum(values[i] for i in micro) <= budget for micros in packed for micro in micros)


def test_packs_are_few_and_nearly_equally_full() -> None:
    values = np.random.default_rng(0).integers(20, 400, 512).tolist()
    packed = pack(values, num_ranks=4, max_tokens=4096)
    assert len(packed[0]) <= sum(values) / (4 * 4096) * 1.05 + 1
    totals = [[sum(values[i] for i in micro) for micro in micros] for micros in packed]
    assert max(map(max, totals)) / min(map(min, totals)) < 1.05
    assert max(map(sum, totals)) - min(map(sum, totals)) < 0.005 * sum(map(sum, totals))


def test_only_ranks_without_a_sequence_get_an_empty_pack() -> None:
    assert pack([5, 4, 3], num_ranks=4, max_tokens=8) == [[[0]], [[1]], [[2]], [[]]]


def test_a_sequence_longer_than_the_budget_is_refused() -> None:
    with pytest.raises(ValueError, match="51 tokens does not fit 50"):
        pack([3, 51], num_ranks=1, max_tokens=50)


@given(lengths, st.integers(1, 4), st.integers(1, 3))
def test_every_rank_has_as_many_microbatches_and_the_global_denominators(
    values: list[int], ranks: int, minibatches: int
) -> None:
    samples = [[SampleRef(str(i), advantage=1.0, num_tokens=n + 2)] for i, n in enumerate(values)]
    shards = plan_shards(
        samples,
        [[n] for n in values],
        num_minibatches=minibatches,
        num_ranks=ranks,
        max_tokens_per_microbatch=100,
        learner_version=3,
        seed=0,
    )
    assert len(shards) == ranks
    for parts in zip(*(shard.minibatches for shard in shards), strict=True):
        assert len({len(part.microbatches) for part in parts}) == 1
        members = [sample for part in parts for micro in part.microbatches for sample in micro]
        assert {part.num_sequences for part in parts} == {len(members)}
        assert {part.num_tokens for part in parts} == {sum(values[int(sample.id)] for sample in members)}
    everything = [each for s in shards for m in s.minibatches for micro in m.microbatches for each in micro]
    assert sorted(int(each.id) for each in everything) == list(range(len(values)))


def plan(values: list[int], *, minibatches: int = 1, ranks: int = 2) -> tuple[Shard, ...]:
    """Plan groups of one sample each."""
    samples = [[SampleRef(str(i), advantage=1.0, num_tokens=n + 2)] for i, n in enumerate(values)]
    return plan_shards(
        samples,
        [[n] for n in values],
        num_minibatches=minibatches,
        num_ranks=ranks,
        max_tokens_per_microbatch=20,
        learner_version=0,
        seed=0,
    )


def test_a_sample_without_tokens_counts_but_goes_to_no_rank() -> None:
    shards = plan([3, 0, 5, 0])
    assert {m.num_sequences for shard in shards for m in shard.minibatches} == {4}
    assert {m.num_tokens for shard in shards for m in shard.minibatches} == {8}
    names = [each.id for shard in shards for m in shard.minibatches for micro in m.microbatches for each in micro]
    assert sorted(names) == ["0", "2"]


def test_a_minibatch_with_nothing_to_train_on_is_left_out() -> None:
    assert [len(shard.minibatches) for shard in plan([4, 0, 0, 0], minibatches=4)] == [1, 1]
    assert [len(shard.minibatches) for shard in plan([0, 0])] == [0, 0]
    assert [len(shard.minibatches) for shard in plan([])] == [0, 0]


def grouped(sizes: list[int], *, minibatches: int, ranks: int = 1, seed: int = 0) -> tuple[Shard, ...]:
    """Plan groups of so many samples, of different lengths."""
    samples = [
        [SampleRef(f"{group}#{i}", advantage=1.0, num_tokens=3 + (5 * group + 3 * i) % 11) for i in range(size)]
        for group, size in enumerate(sizes)
    ]
    return plan_shards(
        samples,
        [[sample.num_tokens - 2 for sample in group] for group in samples],
        num_minibatches=minibatches,
        num_ranks=ranks,
        max_tokens_per_microbatch=30,
        learner_version=0,
        seed=seed,
    )


def members(shards: tuple[Shard, ...]) -> list[set[str]]:
    """The samples of each minibatch, of all ranks."""
    parts = zip(*(shard.minibatches for shard in shards), strict=True)
    return [{each.id for part in of_ranks for micro in part.microbatches for each in micro} for of_ranks in parts]


@given(st.lists(st.integers(1, 6), min_size=1, max_size=12), st.integers(1, 4), st.integers(1, 3), st.integers(0, 9))
def test_a_minibatch_is_a_set_of_whole_groups(sizes: list[int], minibatches: int, ranks: int, seed: int) -> None:
    for names in members(grouped(sizes, minibatches=minibatches, ranks=ranks, seed=seed)):
        groups = {int(name.partition("#")[0]) for name in names}
        assert names == {f"{group}#{i}" for group in groups for i in range(sizes[group])}


def test_a_minibatch_is_planned_the_same_whether_alone_or_with_others() -> None:
    """Streamed minibatches are planned one by one."""
    whole = grouped([4] * 6, minibatches=2, ranks=2, seed=5)
    for number, names in enumerate(members(whole)):
        groups = sorted({int(name.partition("#")[0]) for name in names})
        samples = [
            [SampleRef(f"{group}#{i}", advantage=1.0, num_tokens=3 + (5 * group + 3 * i) % 11) for i in range(4)]
            for group in groups
        ]
        alone = plan_shards(
            samples,
            [[sample.num_tokens - 2 for sample in group] for group in samples],
            num_minibatches=1,
            num_ranks=2,
            max_tokens_per_microbatch=30,
            learner_version=0,
            seed=5,
        )
        assert [shard.minibatches for shard in alone] == [(shard.minibatches[number],) for shard in whole]


def test_groups_and_not_samples_are_dealt_out_to_minibatches() -> None:
    assert [len(names) for names in members(grouped([8, 8, 8, 8], minibatches=2))] == [16, 16]
    assert members(grouped([8, 8, 8, 8], minibatches=4, seed=1)) != members(
        grouped([8, 8, 8, 8], minibatches=4, seed=2)
    )


# ------------------------------------------------------------------ groups that share their prompt

groups_of_lengths = st.lists(
    st.tuples(st.integers(0, 60), st.lists(st.integers(1, 40), min_size=1, max_size=8)), min_size=1, max_size=9
)


def sharing(groups: list[tuple[int, list[int]]]) -> list[list[SampleRef]]:
    """Samples of groups, each given by its prompt and its outputs."""
    return [
        [SampleRef(f"{g}#{i}", 1.0, prompt + output, num_prompt_tokens=prompt) for i, output in enumerate(outputs)]
        for g, (prompt, outputs) in enumerate(groups)
    ]


def computed(plans: list[Any], samples: list[list[SampleRef]]) -> int:
    """Tokens that are computed if each micro-batch computes the prompt of a group once."""
    prompts = {each.id: (g, each) for g, group in enumerate(samples) for each in group}
    total = 0
    for micros in plans:
        for micro in micros:
            seen = {prompts[each.id][0]: each.num_prompt_tokens for each in micro}
            total += sum(seen.values()) + sum(each.num_tokens - each.num_prompt_tokens for each in micro)
    return total


@given(groups_of_lengths, st.integers(1, 5), st.integers(100, 300))
def test_groups_are_dealt_out_whole_within_the_limit(
    groups: list[tuple[int, list[int]]], ranks: int, limit: int
) -> None:
    samples = sharing(groups)
    plans = pack_groups(samples, num_ranks=ranks, max_tokens=limit)
    assert len(plans) == ranks and len({len(micros) for micros in plans}) == 1
    names = [each.id for micros in plans for micro in micros for each in micro]
    assert sorted(names) == sorted(each.id for group in samples for each in group)
    for micros in plans:
        for micro in micros:
            assert computed([[micro]], samples) <= limit


@pytest.mark.parametrize(
    ("num_groups", "size", "ranks", "prompt", "output"),
    [(16, 16, 8, 512, 512), (32, 16, 8, 1024, 256), (8, 8, 1, 512, 512), (8, 8, 4, 1024, 256), (2, 8, 1, 64, 64)],
)
def test_with_two_groups_a_rank_hardly_a_token_is_computed_twice(
    num_groups: int, size: int, ranks: int, prompt: int, output: int
) -> None:
    rng = np.random.default_rng(0)
    lengths = np.maximum(1, rng.lognormal(np.log(output), 0.5, (num_groups, size)).astype(int))
    samples = sharing([(prompt, outputs) for outputs in lengths.tolist()])
    plans = pack_groups(samples, num_ranks=ranks, max_tokens=16384)
    distinct = sum(map(num_distinct_tokens, samples))
    assert distinct == num_groups * prompt + int(lengths.sum())
    assert computed(plans, samples) <= 1.05 * distinct
    flat = pack_samples([each for group in samples for each in group], num_ranks=ranks, max_tokens=16384)
    assert computed(flat, samples) >= computed(plans, samples)


def test_a_group_is_cut_where_it_exceeds_the_limit_or_ranks_outnumber_groups() -> None:
    (group,) = sharing([(50, [20] * 8)])
    assert [unit.num_tokens for unit in group_units(group, num_parts=1, max_tokens=300)] == [210]
    assert [unit.num_tokens for unit in group_units(group, num_parts=1, max_tokens=150)] == [130, 130]
    assert [unit.num_tokens for unit in group_units(group, num_parts=4, max_tokens=300)] == [90] * 4
    plans = pack_groups([group], num_ranks=2, max_tokens=300)
    assert [[len(micro) for micro in micros] for micros in plans] == [[4], [4]]


def test_groups_whose_prompts_are_not_worth_sharing_are_dealt_out_by_samples() -> None:
    (group,) = sharing([(2, [100, 20, 30])])
    assert [unit.members for unit in group_units(group, num_parts=1, max_tokens=300)] == [(0,), (1,), (2,)]


def test_samples_are_dealt_out_where_whole_groups_would_leave_a_rank_idle() -> None:
    """Three groups on two ranks take as long as four; by samples they take as long as three and their prompts."""
    samples = sharing([(30, [100] * 4)] * 3)
    loads = [
        sum(each.num_tokens for micro in micros for each in micro)
        for micros in pack_groups(samples, num_ranks=2, max_tokens=5000)
    ]
    assert loads == [6 * 130, 6 * 130]
    long_prompts = sharing([(300, [100] * 4)] * 3)
    plans = pack_groups(long_prompts, num_ranks=2, max_tokens=5000)
    assert computed(plans, long_prompts) == 3 * 700


def test_branches_read_the_prompt_again_and_a_tree_does_not() -> None:
    samples = [
        SampleRef("0#0", 1.0, 2 * 40 + 25, num_prompt_tokens=40, num_branches=2),
        SampleRef("0#1", 1.0, 48 + 10, num_prompt_tokens=48),
    ]
    assert num_distinct_tokens(samples) == 40 + 25 + 8 + 10
    assert [unit.num_tokens for unit in group_units(samples, num_parts=1, max_tokens=200)] == [83]


def test_both_packings_put_the_same_groups_into_a_minibatch() -> None:
    samples = sharing([(20, [5, 9, 30]), (30, [4, 8]), (25, [7, 7, 7]), (40, [3])])
    plans = [
        plan_shards(
            samples,
            [[each.num_tokens - each.num_prompt_tokens for each in group] for group in samples],
            num_minibatches=2,
            num_ranks=1,
            max_tokens_per_microbatch=200,
            learner_version=0,
            seed=3,
            shares_prompts=shares,
        )
        for shares in (False, True)
    ]
    assert members(plans[0]) == members(plans[1])
    for flat, tree in zip(plans[0][0].minibatches, plans[1][0].minibatches, strict=True):
        for name in ("num_sequences", "num_tokens", "num_distinct_tokens"):
            assert getattr(flat, name) == getattr(tree, name)
