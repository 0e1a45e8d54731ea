"""Environment workers over fakes of our own actors: worlds of a group worker, replacement by the driver."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import RayActorError

from r1ray.cluster import environments as module
from r1ray.cluster.environments import MAX_STARTS, EnvironmentPool, EnvironmentWorkers
from r1ray.config import EnvironmentConfig
from r1ray.environments.registry import source_of
from r1ray.environments.worker import MAX_STUCK, EnvironmentStatus, EnvironmentWorker
from r1ray.errors import DeadlineExceeded, EnvironmentFailed, EnvironmentLost, InfrastructureError
from r1ray.turns import Action, Message, Observation
from tests.cluster.pools import until
from tests.environments.test_worker import prompt, says

CONFIG = EnvironmentConfig(worlds={"maze": {"path": "tests.environments.own_worlds:ScriptedAsync"}})


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PING_S", "KEEP_S", "AGAIN_S"):
        monkeypatch.setattr(module, name, 0.01)


class Actor:
    """An environment worker in this process. It dies, or is stopped, when it is told to."""

    def __init__(self, *, config: EnvironmentConfig = CONFIG, dies_at_start: bool = False) -> None:
        self.worker = EnvironmentWorker(config, {"maze": source_of("maze", config)})
        self.is_killed, self.stuck = False, 0
        self.death, self.stopped = asyncio.Event(), asyncio.Event()
        if dies_at_start:
            self.death.set()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return SimpleNamespace(remote=lambda *arguments: asyncio.ensure_future(self._answer(name, *arguments)))

    async def _answer(self, name: str, *arguments: Any) -> Any:
        if self.stopped.is_set():
            await self.death.wait()
        if self.death.is_set():
            raise RayActorError
        call, death = asyncio.ensure_future(self._call(name, *arguments)), asyncio.ensure_future(self.death.wait())
        await asyncio.wait({call, death}, return_when=asyncio.FIRST_COMPLETED)
        death.cancel()
        if not call.done():
            call.cancel()
            raise RayActorError
        return call.result()

    async def _call(self, name: str, *arguments: Any) -> Any:
        found = await getattr(self.worker, name)(*arguments)
        return EnvironmentStatus(found.worlds, self.stuck) if name == "status" else found

    def kill(self) -> None:
        self.is_killed = True
        self.death.set()


class Run:
    """The driver's side and a group worker's, as a run has them."""

    def __init__(self, count: int, *, silent_s: float = 5.0, fresh: Callable[[], Actor] = Actor) -> None:
        self.started, self.failures = [Actor() for _ in range(count)], list[BaseException]()

        def spawn(index: int) -> Any:
            self.started.append(fresh())
            return self.started[-1]

        actors: Any = list(self.started)
        self.workers = EnvironmentWorkers(actors, spawn, start_s=5.0, silent_s=silent_s)
        self.pool = EnvironmentPool(actors, start_s=5.0)
        self.workers.when_replaced(lambda: self.pool.update(self.workers.actors))
        self.workers.when_failed(self.failures.append)


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(work(), 20))


def worlds_of(actor: Any) -> int:
    return len(actor.worker._held)


def test_worlds_are_entered_on_the_worker_with_least_to_do() -> None:
    async def play() -> None:
        made = Run(2)
        worlds = [await made.pool.enter(prompt(), 0) for _ in range(4)]
        assert [worlds_of(each) for each in made.started] == [2, 2]
        assert worlds[0].observation.messages[-1] == Message("user", "Say.")
        for each in worlds[::2]:
            await each.leave()
            await each.leave()
        await until(lambda: sorted(worlds_of(each) for each in made.started) == [0, 2])
        await made.pool.enter(prompt(), 0)
        assert sorted(worlds_of(each) for each in made.started) == [1, 2]
        assert made.workers.metrics() == {}

    run(play)


def test_what_a_world_answers_and_what_it_raises_comes_as_it_is() -> None:
    async def play() -> None:
        made = Run(1)
        world = await made.pool.enter(prompt(), 0)
        with pytest.raises(EnvironmentFailed, match="step raised ValueError: it is wrong"):
            await world.step(says("raise"))
        world = await made.pool.enter(prompt(), 0)
        with pytest.raises(InfrastructureError, match="the service is gone"):
            await world.step(says("machine"))
        assert made.workers.metrics() == {}

    run(play)


def test_a_dead_worker_is_replaced_and_its_worlds_are_lost() -> None:
    async def play() -> None:
        made = Run(2)
        worlds = [await made.pool.enter(prompt(), 0) for _ in range(2)]
        step = asyncio.create_task(worlds[0].step(says("sleep")))
        await asyncio.sleep(0.02)
        made.started[0].death.set()
        with pytest.raises(EnvironmentLost, match="its environment worker died"):
            await step
        await until(lambda: len(made.started) == 3 and list[Any](made.workers.actors)[0] is made.started[2])
        with pytest.raises(EnvironmentLost):
            await worlds[0].step(says("x"))
        await worlds[0].leave()
        assert made.workers.metrics() == {"faults/environment_worker": 1.0}
        await made.pool.enter(prompt(), 0)
        assert [worlds_of(each) for each in made.started[1:]] == [1, 1]

    run(play)


def test_a_stopped_worker_is_killed_and_replaced() -> None:
    async def play() -> None:
        made = Run(1, silent_s=0.05)
        world = await made.pool.enter(prompt(), 0)
        made.started[0].stopped.set()
        step = asyncio.create_task(world.step(says("sleep")))
        with pytest.raises(EnvironmentLost):
            await step
        assert made.started[0].is_killed
        await until(lambda: len(made.started) == 2)
        await made.pool.enter(prompt(), 0)
        assert worlds_of(made.started[1]) == 1

    run(play)


def test_a_worker_whose_threads_do_not_return_is_replaced() -> None:
    async def play() -> None:
        made = Run(1)
        made.started[0].stuck = MAX_STUCK
        await until(lambda: len(made.started) == 2)
        assert made.started[0].is_killed

    run(play)


def test_while_no_worker_lives_trajectories_wait_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        made = Run(1)
        await made.pool.enter(prompt(), 0)
        monkeypatch.setattr(module, "PING_S", 0.3)  # until the driver finds out
        made.started[0].death.set()
        with pytest.raises(EnvironmentLost):
            await made.pool.enter(prompt(), 0)
        world = await made.pool.enter(prompt(), 0)
        assert worlds_of(made.started[1]) == 1
        assert world.observation.messages

    run(play)


def test_a_trajectory_does_not_wait_for_ever() -> None:
    async def play() -> None:
        pool = EnvironmentPool([], start_s=0.05)
        with pytest.raises(DeadlineExceeded, match=r"a trajectory waited 0.05 s for an environment worker"):
            await pool.enter(prompt(), 0)

    run(play)


def test_a_worker_that_cannot_be_started_ends_the_run() -> None:
    async def play() -> None:
        made = Run(1, fresh=lambda: Actor(dies_at_start=True))
        made.started[0].death.set()
        await until(lambda: bool(made.failures))
        assert f"environment worker 0 cannot be started, after {MAX_STARTS} attempts" in str(made.failures[0])
        assert len(made.started) == MAX_STARTS

    run(play)


def test_worlds_that_a_group_worker_has_use_for_are_kept() -> None:
    async def play() -> None:
        made = Run(1)
        made.started[0].worker._idle_s = 0.3
        world = await made.pool.enter(prompt(), 0)
        forgotten = await made.pool.enter(prompt(), 0)
        made.pool._open.pop(forgotten._id)
        await until(lambda: worlds_of(made.started[0]) == 1)
        assert isinstance(await world.step(says("nap")), Observation)
        with pytest.raises(EnvironmentLost, match="nobody asked for it"):
            await forgotten.step(says("nap"))

    run(play)


def test_who_is_cancelled_while_it_enters_leaves_no_world_behind() -> None:
    async def play() -> None:
        made = Run(1)
        entering = asyncio.create_task(made.pool.enter(replace(prompt(), text="sleep"), 0))
        await asyncio.sleep(0.05)
        assert worlds_of(made.started[0]) == 1
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        await until(lambda: worlds_of(made.started[0]) == 0)

    run(play)


def test_actions_go_to_their_own_world() -> None:
    async def play() -> None:
        made = Run(2)
        worlds = [await made.pool.enter(prompt(), 0) for _ in range(8)]
        answers = await asyncio.gather(*(each.step(Action(content="nap")) for each in worlds))
        assert len(answers) == 8

    run(play)
