from __future__ import annotations

import asyncio

import pytest

from r1ray.errors import EngineLost
from r1ray.rollout.group import MAX_ATTEMPTS, run_group
from r1ray.types import GroupRequest, Sampling
from tests.fakes import Events, FakeEngine, FakeScorer, make_prompt


def request() -> GroupRequest:
    return GroupRequest(
        occurrence="0/0", prompt=make_prompt(), num_completions=3, sampling=Sampling(1.0, 1.0, 8), seed=0
    )


@pytest.mark.faults
def test_what_a_lost_engine_had_yielded_does_not_count() -> None:
    engine, attempts = FakeEngine(Events()), []
    engine.fail_next = 1
    group = asyncio.run(run_group(engine, FakeScorer(), request(), on_start=attempts.append))
    assert [scored.index for scored in group.all_trajectories] == [0, 1, 2]
    assert attempts == [1, 2]


def test_a_group_is_given_up_after_its_last_attempt() -> None:
    engine = FakeEngine(Events())
    engine.fail_next = MAX_ATTEMPTS
    with pytest.raises(EngineLost):
        asyncio.run(run_group(engine, FakeScorer(), request()))


def test_scoring_begins_before_the_group_is_whole() -> None:
    engine, scorer = FakeEngine(Events()), FakeScorer()

    async def first_outcome() -> int:
        task = asyncio.create_task(run_group(engine, scorer, request()))
        while not scorer.scored:
            await asyncio.sleep(0)
        seen = len(scorer.scored)
        await task
        return seen

    assert asyncio.run(first_outcome()) < 3
