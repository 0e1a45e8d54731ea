"""Waiting for actors, over fakes of our own actors."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import RayActorError

from r1ray.cluster.engines import EngineLimits
from r1ray.cluster.ready import all_ready, engine_pool, ranks_ready
from r1ray.errors import DeadlineExceeded, InfrastructureError
from tests.cluster.pools import Actor as Engine
from tests.cluster.pools import Told, until


class Actor:
    """An actor that is built, or fails, after a while."""

    def __init__(self, *, num_workers: int = 1, after_s: float = 0.0, fails: Exception | None = None) -> None:
        async def answer() -> int:
            await asyncio.sleep(after_s)
            if fails is not None:
                raise fails
            return num_workers

        self.alive, self.ready = answer, SimpleNamespace(remote=answer)


def wait(built: list[Any], engines: list[Any], *, start_s: float = 5.0) -> Any:
    return asyncio.run(all_ready(built, engines, start_s=start_s))


def test_every_engine_says_how_many_workers_it_has() -> None:
    slow, fast = Actor(num_workers=2, after_s=0.05), Actor(num_workers=4)
    assert wait([Actor()], [slow, fast]) == {slow: 2, fast: 4}


def test_an_actor_that_dies_before_it_is_built_ends_the_wait() -> None:
    with pytest.raises(InfrastructureError, match="an actor could not start"):
        wait([Actor(fails=RayActorError())], [Actor(after_s=60)])


def test_an_actor_that_never_answers_is_an_error_with_its_key() -> None:
    with pytest.raises(DeadlineExceeded, match=r"deadlines\.start_s"):
        wait([Actor(after_s=60)], [], start_s=0.05)


@pytest.mark.parametrize("num_deaths", [0, 1, 2])
def test_a_learner_is_started_once_more_where_a_rank_dies(num_deaths: int) -> None:
    killed: list[Actor] = []
    groups = [[Actor(), Actor(fails=RayActorError() if n < num_deaths else None)] for n in range(3)]
    left = list(groups)

    async def start() -> Any:
        for actor in left[0]:
            actor.kill = lambda actor=actor: killed.append(actor)  # type: ignore[attr-defined]
        return left.pop(0), "10.0.0.1"

    if num_deaths == 2:
        with pytest.raises(InfrastructureError, match="a learner rank could not start"):
            asyncio.run(ranks_ready(start, start_s=5.0))
        return
    ranks, address = asyncio.run(ranks_ready(start, start_s=5.0))
    assert (list(ranks), address) == (groups[num_deaths], "10.0.0.1")
    assert killed == [actor for each in groups[:num_deaths] for actor in each]


def test_an_engine_that_is_lost_is_replaced_by_one_of_its_section_and_index() -> None:
    asked: list[tuple[str, int]] = []
    first, second, fresh = Engine(), Engine(), Engine(num_workers=2)

    def spawn(section: str, index: int) -> Any:
        asked.append((section, index))
        return fresh

    async def end(actor: Any) -> None:
        actor.kill()

    async def scenario() -> None:
        num_workers: Any = {first: 1, second: 2}
        actors: Any = [first, second]
        spawner: Any = SimpleNamespace(end_engine=end)
        limits = EngineLimits(num_slots=8, min_engines=1, start_s=5.0, silent_s=5.0)
        pool = engine_pool("eval", actors, num_workers, spawner, spawn, Told(), limits)
        pool.lose(pool.engines[1])
        await until(lambda: len(pool.living) == 2 and pool.engines[1].incarnation == 1)
        assert asked == [("eval", 1)]
        assert [(engine.name, engine.num_workers) for engine in pool.engines] == [("eval 0", 1), ("eval 1", 2)]
        pool.close()

    asyncio.run(scenario())
