"""Deadlines of the controller, and engines that are lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

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


def engines(events: Events) -> tuple[Engines, Callable[[], None]]:
    """Engines, and what the weight sync calls when it finds one lost."""
    progress, weights = Progress(9, StopConfig(), state=None, history=()), FakeWeightSync(events, FakeEngine(events))
    made = Engines(weights, progress, WAITER)
    return made, weights.engine.on_lost


def test_engines_are_restored_once_for_all_that_were_lost() -> None:
    async def lose_two() -> None:
        serving, lose = engines(events)
        assert not serving.news.is_set()
        lose()
        lose()
        assert serving.news.is_set()
        await serving.restore()
        assert not serving.news.is_set()
        await serving.restore()

    events = Events()
    asyncio.run(lose_two())
    assert events == ["publish v0"]


def test_what_happens_while_engines_are_restored_is_news() -> None:
    async def lose_another() -> bool:
        serving, lose = engines(Events())
        lose()
        restoring = asyncio.create_task(serving.restore())
        await asyncio.sleep(0)
        lose()
        await restoring
        return serving.news.is_set()

    assert asyncio.run(lose_another())
