"""The pool of rollout engines, over fakes of our own actors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from r1ray.cluster import engines
from r1ray.cluster.engine import Engine
from r1ray.cluster.engines import MAX_STARTS
from r1ray.cluster.group_workers import GroupWorkers
from r1ray.errors import InfrastructureError
from r1ray.rollout.placement import EngineState
from tests.cluster.pools import Actor, Told, pool_of, refuse, until

pytestmark = pytest.mark.faults


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 10))


def test_an_engine_that_ends_is_lost_at_once_and_group_workers_are_told() -> None:
    async def scenario() -> None:
        dying, told, losses = Actor(), Told(), []
        pool = pool_of([dying, Actor()], told, lambda name: Actor(ready_s=60))
        pool.when_lost(lambda: losses.append(1))
        await pool.serve(pool.engines)
        dying.death.set()
        await until(lambda: bool(losses))
        await until(lambda: told.said[-1] == [("rollout 0", 0, "lost"), ("rollout 1", 0, "serving")])
        assert dying.is_killed, "with what it may have left behind"
        pool.close()

    run(scenario())


@pytest.mark.parametrize("num_deaths", range(MAX_STARTS))
def test_an_engine_that_dies_while_it_starts_gets_a_successor(num_deaths: int) -> None:
    async def scenario() -> None:
        starting = [Actor(dies=i < num_deaths, num_workers=2) for i in range(MAX_STARTS)]
        unused, told, first = list(starting), Told(), Actor()
        pool = pool_of([first], told, lambda name: unused.pop(0))
        pool.lose(pool.engines[0])
        await pool.some()
        [fresh] = pool.engines
        assert fresh.actor is starting[num_deaths]  # type: ignore[comparison-overlap]
        assert (fresh.num_workers, fresh.incarnation) == (2, 1)
        assert (fresh.state, fresh.version) == ("held", None), "it serves nothing yet"
        assert [each.is_killed for each in starting] == [i < num_deaths for i in range(MAX_STARTS)]
        pool.close()

    run(scenario())


def test_lost_engines_are_started_again_at_the_same_time() -> None:
    async def scenario() -> None:
        pool = pool_of([Actor() for _ in range(8)], Told(), lambda name: Actor(ready_s=0.3))
        for engine in list(pool.engines):
            pool.lose(engine)
        await until(lambda: len(pool.living) == 8, seconds=1.5)  # one after the other they would take 2.4 s
        pool.close()

    run(scenario())


def test_an_engine_that_answers_nothing_is_lost_with_the_key_of_the_deadline(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        silent, told = Actor(hangs_in=["ping"]), Told()
        pool = pool_of([silent, Actor()], told, lambda name: Actor(), silent_s=0.1)
        await until(lambda: pool.engines[0].incarnation == 1)
        assert silent.is_killed and pool.engines[1].incarnation == 0
        assert "rollout 0 is lost: it has not answered for 0.1 s (rollout.silent_s)" in caplog.text
        pool.close()

    run(scenario())


def test_an_engine_that_takes_new_weights_may_be_silent() -> None:
    async def scenario() -> None:
        pool = pool_of([Actor(hangs_in=["ping"])], Told(), refuse, silent_s=0.05)
        pool.engines[0].num_updates += 1
        await asyncio.sleep(0.2)
        assert not pool.engines[0].is_lost
        pool.close()

    run(scenario())


def test_the_watch_of_a_replaced_engine_does_not_lose_its_successor() -> None:
    async def scenario() -> None:
        told, losses = Told(), []
        pool = pool_of([Actor()], told, lambda name: Actor())
        pool.when_lost(lambda: losses.append(1))
        await asyncio.sleep(0)  # the watch waits
        pool.lose(pool.engines[0])
        await pool.some()
        await asyncio.sleep(0.01)
        await pool.serve(pool.engines)
        assert losses == [1] and told.said[-1] == [("rollout 0", 1, "serving")]
        pool.close()

    run(scenario())


def test_who_waits_for_engines_hears_of_each_that_is_there_again() -> None:
    async def scenario() -> None:
        pool, came = pool_of([Actor(), Actor()], Told(), lambda name: Actor()), []

        async def note(engine: Engine) -> None:
            came.append((engine.name, engine.incarnation))

        pool.when_ready(note)
        for engine in list(pool.engines):
            pool.lose(engine)
        await until(lambda: sorted(came) == [("rollout 0", 1), ("rollout 1", 1)])
        pool.close()

    run(scenario())


def test_without_a_replacement_the_run_goes_on_with_the_others_and_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        starting, told = [*(Actor(dies=True) for _ in range(MAX_STARTS)), Actor()], Told()
        pool = pool_of([Actor(), Actor()], told, lambda name: starting.pop(0))
        pool.lose(pool.engines[0])
        await until(lambda: pool.engines[0].incarnation == 1)
        assert told.failure is None and starting == []
        pool.close()

    monkeypatch.setattr(engines, "RETRY_S", 0.01)
    run(scenario())


@pytest.mark.parametrize(("num_engines", "min_engines"), [(1, 1), (3, 3)])
def test_a_run_with_too_few_engines_ends_and_says_why(num_engines: int, min_engines: int) -> None:
    async def scenario() -> None:
        told = Told()
        actors = [Actor() for _ in range(num_engines)]
        pool = pool_of(actors, told, lambda name: Actor(dies=True), min_engines=min_engines)
        pool.lose(pool.engines[0])
        await until(lambda: told.failure is not None)
        assert isinstance(told.failure, InfrastructureError)
        assert str(told.failure).startswith("rollout 0 could not be started again: ")
        pool.close()

    run(scenario())


def test_engines_join_as_room_for_them_comes_and_those_that_cannot_start_end_nothing() -> None:
    async def scenario() -> None:
        told, room, came = Told(), asyncio.Queue[str](), []
        starting = {"rollout 1": Actor(), "rollout 2": Actor(ready_s=60)}
        pool = pool_of([Actor()], told, starting.__getitem__)

        async def note(engine: Engine) -> None:
            came.append((engine.name, engine.incarnation, engine.version))

        async def names() -> AsyncIterator[str]:
            while True:
                yield await room.get()

        pool.when_ready(note)
        pool.follow(names())
        await asyncio.sleep(0.01)
        assert came == []
        room.put_nowait("rollout 1")
        room.put_nowait("rollout 2")
        await until(lambda: came == [("rollout 1", 0, None)])
        assert [each.name for each in pool.engines] == ["rollout 0", "rollout 1"] and told.failure is None
        pool.close()

    run(scenario())


def test_group_workers_that_cannot_be_told_end_the_run() -> None:
    class Deaf(Told):
        async def set_engines(self, states: Sequence[EngineState]) -> None:
            raise InfrastructureError("planted")

    async def scenario() -> None:
        told = Deaf()
        pool = pool_of([Actor()], told, lambda name: Actor(ready_s=60))
        pool.lose(pool.engines[0])
        await until(lambda: isinstance(told.failure, InfrastructureError))
        pool.close()

    run(scenario())


def test_a_closed_pool_watches_nothing_and_replaces_nothing() -> None:
    async def scenario() -> None:
        told, actor = Told(), Actor()
        pool = pool_of([actor], told, refuse)
        await asyncio.sleep(0)
        pool.close()
        actor.death.set()
        await asyncio.sleep(0.01)
        assert told.said == [] and len(asyncio.all_tasks()) <= 2

    run(scenario())


def test_group_workers_know_that_an_engine_is_being_replaced_until_it_serves_or_cannot_be_had() -> None:
    """Nobody's deadline runs meanwhile; where none can be had for long, it runs again."""

    async def scenario() -> None:
        rewards: Any = SimpleNamespace(when_replaced=lambda callback: None)
        groups = GroupWorkers([], rewards, deadline_s=0.5)
        pool = pool_of([Actor(), Actor()], groups, lambda name: Actor(ready_s=0.05 if name == "rollout 0" else 60))
        await pool.serve(pool.engines)
        assert not groups.is_recovering()
        pool.lose(pool.engines[0])
        await until(groups.is_recovering)
        await until(lambda: pool.engines[0].incarnation == 1)
        await pool.serve(pool.engines)
        assert not groups.is_recovering()
        pool.lose(pool.engines[1])
        await until(groups.is_recovering)
        await until(lambda: not groups.is_recovering())
        assert pool.engines[1].is_lost
        pool.close()

    run(scenario())
