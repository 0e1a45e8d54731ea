"""Waiting for actors, over fakes of our own actors."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import RayActorError

from r1ray.cluster.ready import all_ready, engine_pool
from r1ray.errors import DeadlineExceeded, InfrastructureError


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


class Deaf:
    """Hears of engines, and does nothing."""

    async def set_engines(self, states: Any) -> None: ...

    def fail(self, error: BaseException) -> None:
        raise error


def test_an_engine_that_is_lost_is_replaced_by_one_of_its_section_and_index() -> None:
    first, second, fresh = Actor(num_workers=1), Actor(num_workers=2), Actor()
    for actor in (first, second, fresh):
        actor.kill = lambda: None  # type: ignore[attr-defined]
        actor.until_dead = SimpleNamespace(remote=lambda: asyncio.sleep(60))  # type: ignore[attr-defined]
    asked: list[tuple[str, int]] = []

    def spawn(section: str, index: int) -> Any:
        asked.append((section, index))
        return fresh

    async def scenario() -> None:
        num_workers: Any = {first: 1, second: 2}
        actors: Any = [first, second]
        pool = engine_pool("eval", actors, num_workers, spawn, Deaf(), num_slots=8)
        pool.lose(pool.engines[1])
        await pool.replace_lost()
        assert asked == [("eval", 1)]
        assert [(engine.name, engine.num_workers) for engine in pool.engines] == [("eval 0", 1), ("eval 1", 2)]

    asyncio.run(scenario())
