"""The pool of rollout engines, over fakes of our own actors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import RayActorError

from r1ray.cluster.engines import MAX_STARTS, Engine, EnginePool
from r1ray.errors import InfrastructureError
from r1ray.rollout.placement import EngineState


class Actor:
    """A rollout actor that answers after a while, or dies before."""

    def __init__(self, *, dies: bool = False, ready_s: float = 0.0) -> None:
        self.is_killed = False
        self.death = asyncio.Event()

        async def ready() -> int:
            await asyncio.sleep(ready_s)
            if dies:
                raise RayActorError
            return 1

        async def until_dead() -> None:
            await self.death.wait()
            raise RayActorError

        self.ready, self.until_dead = SimpleNamespace(remote=ready), SimpleNamespace(remote=until_dead)

    def kill(self) -> None:
        self.is_killed = True
        self.death.set()


class Told:
    """Keeps what group workers are told: name, incarnation and state of every engine."""

    def __init__(self) -> None:
        self.said: list[list[tuple[str, int, str]]] = []
        self.failure: BaseException | None = None

    async def set_engines(self, states: Sequence[EngineState]) -> None:
        self.said.append([(each.name, each.incarnation, each.state) for each in states])

    def fail(self, error: BaseException) -> None:
        self.failure = error


def pool_of(engines: list[Engine], told: Told, spawn: Callable[[str], Any]) -> EnginePool:
    return EnginePool(engines, spawn, told, num_slots=8)


def refuse(name: str) -> Any:
    raise AssertionError("nothing is to be started")


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 10))


@pytest.mark.faults
@pytest.mark.parametrize("num_deaths", range(MAX_STARTS + 1))
def test_an_engine_that_dies_while_it_starts_gets_a_successor(num_deaths: int) -> None:
    async def scenario() -> None:
        starting = [Actor(dies=i < num_deaths) for i in range(MAX_STARTS)]
        unused = list(starting)
        lost: Any = Engine("rollout 0", Actor(), 2, state="lost")  # type: ignore[arg-type]
        engines = pool_of([lost], Told(), lambda name: unused.pop(0))
        if num_deaths == MAX_STARTS:
            with pytest.raises(InfrastructureError, match="rollout 0 could not be started again"):
                await engines.replace_lost()
            assert all(each.is_killed for each in starting)
            return
        assert await engines.replace_lost() == 1
        [fresh] = engines.engines
        assert (fresh.actor, fresh.num_workers, fresh.incarnation) == (starting[num_deaths], 2, 1)
        assert fresh.state == "held"
        assert [each.is_killed for each in starting] == [i < num_deaths for i in range(MAX_STARTS)]

    run(scenario())


@pytest.mark.faults
def test_lost_engines_are_started_again_at_the_same_time() -> None:
    async def scenario() -> None:
        engines: Any = [Engine(f"rollout {i}", Actor(), 1, state="lost") for i in range(8)]  # type: ignore[arg-type]
        pool = pool_of(engines, Told(), lambda name: Actor(ready_s=0.3))
        async with asyncio.timeout(1.5):  # one after the other they would take 2.4 s
            assert await pool.replace_lost() == 8

    run(scenario())


@pytest.mark.faults
def test_an_engine_that_ends_is_lost_at_once_and_group_workers_are_told() -> None:
    async def scenario() -> None:
        dying, other = Actor(), Actor()
        told, losses = Told(), []
        pool = pool_of([Engine("rollout 0", dying, 1), Engine("rollout 1", other, 1)], told, refuse)  # type: ignore[arg-type]
        pool.when_lost(lambda: losses.append(1))
        await pool.end_verification()
        dying.death.set()
        await asyncio.sleep(0.01)
        assert losses == [1]
        assert told.said[-1] == [("rollout 0", 0, "lost"), ("rollout 1", 0, "serving")]

    run(scenario())


@pytest.mark.faults
def test_the_watch_of_a_replaced_engine_does_not_lose_its_successor() -> None:
    async def scenario() -> None:
        told, losses = Told(), []
        pool = pool_of([Engine("rollout 0", Actor(), 1)], told, lambda name: Actor())  # type: ignore[arg-type]
        pool.when_lost(lambda: losses.append(1))
        await asyncio.sleep(0)  # the watch waits
        pool.lose(pool.engines[0])
        await pool.replace_lost()  # kills the old one, which its watch notices
        await asyncio.sleep(0.01)
        await pool.end_verification()
        assert losses == [1] and told.said[-1] == [("rollout 0", 1, "serving")]

    run(scenario())


@pytest.mark.faults
def test_a_successor_that_dies_before_it_serves_is_lost_too() -> None:
    async def scenario() -> None:
        told, fresh = Told(), Actor()
        pool = pool_of([Engine("rollout 0", Actor(), 1, state="lost")], told, lambda name: fresh)  # type: ignore[arg-type]
        await pool.replace_lost()
        fresh.death.set()
        await asyncio.sleep(0.01)
        await pool.end_verification()
        assert told.said[-1] == [("rollout 0", 1, "lost")]

    run(scenario())


@pytest.mark.faults
def test_group_workers_that_cannot_be_told_end_the_run() -> None:
    class Deaf(Told):
        async def set_engines(self, states: Sequence[EngineState]) -> None:
            raise InfrastructureError("planted")

    async def scenario() -> None:
        told = Deaf()
        pool = pool_of([Engine("rollout 0", Actor(), 1)], told, refuse)  # type: ignore[arg-type]
        pool.lose(pool.engines[0])
        await asyncio.sleep(0.01)
        assert isinstance(told.failure, InfrastructureError)

    run(scenario())


def test_a_closed_pool_watches_nothing() -> None:
    async def scenario() -> None:
        told, actor = Told(), Actor()
        pool = pool_of([Engine("rollout 0", actor, 1)], told, refuse)  # type: ignore[arg-type]
        await asyncio.sleep(0)
        pool.close()
        actor.death.set()
        await asyncio.sleep(0.01)
        assert told.said == [] and len(asyncio.all_tasks()) <= 2

    run(scenario())
