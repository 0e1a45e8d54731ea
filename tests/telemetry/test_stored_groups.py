"""Groups, through the rollout log, and back."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from r1ray.config import AlgoConfig, DataConfig, LearnerConfig, RewardConfig, RunConfig
from r1ray.loop.batch import make_batch, make_shards, parts_of_step
from r1ray.telemetry.rollouts import RolloutLog, read_rollouts
from r1ray.telemetry.stored_groups import StoredStep, stored_step
from r1ray.types import (
    GroupRecord,
    Outcome,
    Removed,
    Scored,
    ScoredGroup,
    ScoredTrajectory,
    ScoringFailed,
    Segment,
    Trajectory,
    VersionSpan,
)
from tests.fakes import make_prompt
from tests.learner.lending import Lent, by_id

PARTS = {"accuracy": {"weight": 1.0}, "format": {"weight": 0.5, "from_step": 3}}
OUTCOMES = st.one_of(
    st.builds(
        lambda a, b: Scored(a + 0.5 * b, {"accuracy": a, "format": b}),
        st.floats(0, 1, width=32),
        st.floats(0, 1, width=32),
    ),
    st.just(ScoringFailed("down")),
)
MEMBERS = st.tuples(OUTCOMES, st.integers(1, 5), st.booleans(), st.booleans())
"""Outcome, number of tokens, and whether a limit cut it and whether it has a second branch."""
GROUPS = st.lists(st.lists(MEMBERS, min_size=3, max_size=3), min_size=4, max_size=4)


def make_config(*, streams: bool = False, masks: bool = False) -> RunConfig:
    return RunConfig(
        model="m",
        algo=AlgoConfig(
            group_size=3,
            prompts_per_step=4,
            minibatches_per_step=2,
            max_completion_tokens=32,
            stream_minibatches=streams,
            mask_truncated=masks,
        ),
        reward=RewardConfig(parts=PARTS),
        learner=LearnerConfig(max_tokens_per_microbatch=64),
        data=DataConfig(train="t", max_prompt_tokens=32),
    )


def make_trajectory(group_id: str, index: int, *, num_tokens: int, is_cut: bool, has_branch: bool) -> Trajectory:
    values = np.random.default_rng(index).normal(size=num_tokens).astype(np.float32)
    spans = (VersionSpan(3, 0, 1), *([VersionSpan(4, 1, num_tokens)] if num_tokens > 1 else []))
    first = Segment(
        kind="policy", token_ids=np.arange(num_tokens, dtype=np.int32), logprobs=values, versions=spans, text="a"
    )
    again = replace(first, kind="context", logprobs=np.zeros(0, np.float32), versions=(), branch=1)
    return Trajectory(
        group_id=group_id,
        index=index,
        prompt_token_ids=np.array([1, 2], np.int32),
        segments=(first, again, replace(first, branch=1)) if has_branch else (first,),
        status="truncated" if is_cut else "finished",
        seconds=0.5,
    )


def make_group(
    group_id: str, members: Sequence[tuple[Outcome, int, bool, bool]]
) -> tuple[ScoredGroup, list[Trajectory]]:
    """A group of ``members`` and one more trajectory, which was removed."""
    trajectories = [
        make_trajectory(group_id, index, num_tokens=length, is_cut=is_cut, has_branch=has_branch)
        for index, (_, length, is_cut, has_branch) in enumerate(members)
    ]
    group = ScoredGroup(
        group_id=group_id,
        trajectories=tuple(
            ScoredTrajectory.of(trajectory, outcome, extracted=None, seconds=0.25)
            for trajectory, (outcome, *_) in zip(trajectories, members, strict=True)
        ),
        removed=(Removed(index=len(members), reason="late", num_policy_tokens=7),),
        worker=0,
        incarnation="",
        generate_s=0.5,
        reward_s=0.25,
    )
    return group, trajectories


def stored(records: Sequence[GroupRecord], trajectories: Sequence[Trajectory], *, step: int = 5) -> StoredStep:
    """What the rollout log has of a step."""
    with tempfile.TemporaryDirectory() as folder:
        RolloutLog(Path(folder)).write(step, records, Lent(by_id(trajectories)))
        return stored_step(read_rollouts(Path(folder), step=step))


@given(GROUPS, st.booleans(), st.booleans(), st.sampled_from([2, 5]))
@settings(max_examples=25)
def test_the_shards_of_a_stored_step_are_those_that_it_was_trained_on(
    members: list[list[tuple[Outcome, int, bool, bool]]], streams: bool, masks: bool, step: int
) -> None:
    config = make_config(streams=streams, masks=masks)
    made = [make_group(f"0/{index}", each) for index, each in enumerate(members)]
    groups, trajectories = [group for group, _ in made], [each for _, own in made for each in own]
    parts, cuts = parts_of_step(config.algo), [(0, 2), (2, 4)] if streams else [(0, 4)]
    batches = [
        make_batch(groups[a:b], [make_prompt()] * (b - a), part, config, step=step, version=4)
        for part, (a, b) in zip(parts, cuts, strict=True)
    ]
    found = stored([record for batch in batches for record in batch.records], trajectories, step=step)
    shards = [
        make_shards(found.groups[a:b], part, config, step=step, version=4)
        for part, (a, b) in zip(parts, cuts, strict=True)
    ]
    assert shards == [batch.shards for batch in batches]


@given(GROUPS)
@settings(max_examples=10)
def test_groups_and_tokens_are_what_they_were(members: list[list[tuple[Outcome, int, bool, bool]]]) -> None:
    made = [make_group(f"0/{index}", each) for index, each in enumerate(members)]
    groups, trajectories = [group for group, _ in made], [each for _, own in made for each in own]
    records = [
        GroupRecord(group_id=group.group_id, prompt=make_prompt(), group=group, advantages=(0.1,) * 3, status="trained")
        for group in groups
    ]
    found = stored(records, trajectories)
    assert found.groups == tuple(groups)
    assert list(found.trajectories) == [each.id for each in trajectories]
    for ours, theirs in zip(found.trajectories.values(), trajectories, strict=True):
        assert ours.num_row_tokens == theirs.num_row_tokens and ours.branches and ours.status == theirs.status
        for one, other in zip(ours.segments, theirs.segments, strict=True):
            assert one.token_ids.tobytes() == other.token_ids.tobytes()
            assert one.logprobs.tobytes() == other.logprobs.tobytes() and one.versions == other.versions


def test_of_groups_that_were_dropped_nothing_is_left() -> None:
    group, trajectories = make_group("0/0", [(Scored(1.0, {}), 2, False, False)] * 3)
    dropped = [
        GroupRecord(group_id="0/0", prompt=make_prompt(), group=group, advantages=(None,) * 3, status="uniform"),
        GroupRecord(group_id="0/1", prompt=make_prompt(), group=None, advantages=(), status="dropped"),
    ]
    assert stored(dropped, trajectories) == StoredStep((), {})
