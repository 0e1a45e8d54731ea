"""Deadlines of the controller, and engines that are lost."""

from __future__ import annotations

import asyncio

import pytest

from r1ray.config import DeadlineConfig, StopConfig
from r1ray.errors import DeadlineExceeded
from r1ray.loop.upkeep.progress import Progress
from r1ray.loop.upkeep.waiting import Engines, Waiter
from tests.fakes import Events, FakeEngine, FakeWeightSync

WAITER = Waiter(DeadlineConfig(learn_s=0.01).decided)


def test_a_wait_that_is_over_names_owner_and_key() -> None:
    with pytest.raises(DeadlineExceeded, match=r"waited 0.01 s for the learner group .*deadlines.learn_s"):
        asyncio.run(WAITER.wait_for(asyncio.sleep(10), "learn_s", "the learner group"))


def test_a_wait_of_several_deadlines_has_its_own_length() -> None:
    with pytest.raises(DeadlineExceeded, match=r"waited 0.02 s for a rank .*deadlines.checkpoint_s"):
        asyncio.run(WAITER.wait_for(asyncio.sleep(10), "checkpoint_s", "a rank", seconds=0.02))


def engines(events: Events) -> Engines:
    progress = Progress(9, StopConfig(), state=None, history=())
    return Engines(FakeWeightSync(events, FakeEngine(events)), progress, WAITER)


def test_engines_are_restored_once_for_all_that_were_lost() -> None:
    async def lose_two() -> None:
        serving = engines(events)
        serving.note_attempt(1)
        assert not serving.news.is_set(), "a first attempt is no loss"
        serving.note_attempt(2)
        serving.note_loss()
        assert serving.news.is_set()
        await serving.restore()
        assert not serving.news.is_set()
        await serving.restore()

    events = Events()
    asyncio.run(lose_two())
    assert events == ["publish v0"]


def test_what_happens_while_engines_are_restored_is_news() -> None:
    async def lose_another() -> bool:
        serving = engines(Events())
        serving.note_loss()
        restoring = asyncio.create_task(serving.restore())
        await asyncio.sleep(0)
        serving.note_loss()
        await restoring
        return serving.news.is_set()

    assert asyncio.run(lose_another())
