"""Groups between issue and step: slots, order, what is dropped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from r1ray.config import AlgoConfig, DeadlineConfig, RewardConfig, StopConfig
from r1ray.errors import DeadlineExceeded
from r1ray.loop.batch import parts_of_step
from r1ray.loop.buffer import Buffer
from r1ray.loop.ledger import Ledger
from r1ray.loop.upkeep.progress import Progress
from r1ray.loop.upkeep.waiting import Engines, Waiter
from r1ray.types import GroupRequest, ScoredGroup
from tests.fakes import Events, FakeEngine, FakeGroups, FakePrompts, FakeScorer, FakeWeightSync


class World:
    """A buffer among fakes; slots for two steps of two groups."""

    def __init__(
        self,
        *,
        delay: Callable[[str], int] = lambda group_id: 0,
        deadlines: DeadlineConfig | None = None,
        world_s: float = 0.0,
    ) -> None:
        events = Events()
        engine = FakeEngine(events, delay=delay)
        engine.version = 0
        weights = FakeWeightSync(events, engine)
        self.groups = FakeGroups(engine, FakeScorer())
        waiter = Waiter((deadlines or DeadlineConfig(generate_s=5.0)).decided)
        self.ledger = Ledger()
        self.progress = Progress(9, StopConfig(), state=None, history=())
        algo = AlgoConfig(group_size=2, prompts_per_step=2, minibatches_per_step=1, max_staleness=1, clip_high=0.2)
        (self.step,) = parts_of_step(algo)
        self.prompts = FakePrompts()
        self.buffer = Buffer(
            self.groups,
            self.prompts,
            algo=algo,
            reward=RewardConfig(parts={"accuracy": {}}),
            world_s=world_s,
            seed=0,
            ledger=self.ledger,
            progress=self.progress,
            engines=Engines(weights, self.progress, waiter),
            waiter=waiter,
        )

    async def take(self) -> list[ScoredGroup]:
        groups, _ = await self.buffer.take(self.step)
        return groups

    async def generate(self, tasks: asyncio.TaskGroup) -> None:
        self.buffer.begin(tasks)
        await self.buffer.open()
        await self.issue_all()

    async def issue_all(self) -> None:
        while True:
            self.buffer.run(await self.buffer.issue())

    def during(self, work: Callable[[asyncio.TaskGroup], Coroutine[Any, Any, None]]) -> None:
        """Do ``work`` while groups are generated."""

        async def both() -> None:
            async with asyncio.TaskGroup() as tasks:
                generating = tasks.create_task(self.generate(tasks))
                await work(tasks)
                generating.cancel()

        asyncio.run(both())


async def settled() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def test_a_group_holds_its_slot_until_it_is_released() -> None:
    world = World()

    async def one_step(tasks: asyncio.TaskGroup) -> None:
        groups = await world.take()
        world.buffer.settle(groups)
        await settled()
        assert world.ledger.issued == 4, "the slots of the groups that were trained on are not free yet"
        world.buffer.release(len(groups))
        await settled()
        assert world.ledger.issued == 6

    world.during(one_step)


def test_a_step_takes_its_groups_in_the_order_of_the_data() -> None:
    """Whatever the order in which they finished."""
    world = World(delay=lambda group_id: {"0/0": 20, "0/1": 10}.get(group_id, 10_000))

    async def one_step(tasks: asyncio.TaskGroup) -> None:
        assert [group.group_id for group in await world.take()] == ["0/0", "0/1"]
        await world.buffer.leave_behind([], all_others=True)

    world.during(one_step)


def test_before_the_last_step_every_other_group_is_dropped_and_recorded() -> None:
    world = World(delay=lambda group_id: {"0/3": 10_000}.get(group_id, 0))

    async def last_step(tasks: asyncio.TaskGroup) -> None:
        groups = await world.take()
        world.progress.last = 1
        await world.buffer.leave_behind(groups, all_others=True)
        world.buffer.settle(groups)
        dropped = {record.group_id: record.group is not None for record in world.buffer.take_dropped()}
        assert dropped == {"0/2": True, "0/3": False}, "one was ready, one under way"
        assert world.buffer.take_dropped() == []

    world.during(last_step)
    assert world.ledger.dropped == {"stopped": 2} and not world.ledger.in_flight


def test_a_group_is_observed_when_it_has_ended_and_not_before() -> None:
    """What is saved with a checkpoint is of groups that are not issued again."""
    world = World(delay=lambda group_id: {"0/3": 10_000}.get(group_id, 0))

    async def last_step(tasks: asyncio.TaskGroup) -> None:
        groups = await world.take()
        await settled()
        assert world.buffer.curriculum() == {"oldest": [0, 0], "observed": []}, "0/2 is ready, and in flight"
        world.buffer.settle(groups)
        assert world.buffer.curriculum() == {"oldest": [0, 2], "observed": ["0/0", "0/1"]}
        world.progress.last = 1
        await world.buffer.leave_behind([], all_others=True)
        assert world.buffer.curriculum() == {"oldest": [0, 4], "observed": ["0/0", "0/1", "0/2"]}, "of 0/3 was nothing"

    world.during(last_step)


@pytest.mark.parametrize("is_waiting", [True, False])
def test_a_closed_buffer_gives_nothing(is_waiting: bool) -> None:
    world = World(delay=lambda group_id: 10_000)

    async def close(tasks: asyncio.TaskGroup) -> None:
        taking = asyncio.create_task(world.take())
        if is_waiting:
            await settled()
        world.buffer.close()
        assert await taking == []
        await world.buffer.leave_behind([], all_others=True)

    world.during(close)


@pytest.mark.parametrize("recovers", [False, True])
def test_the_recovery_of_an_engine_does_not_count_in_the_deadline_of_a_step(recovers: bool) -> None:
    """All that a step may take is 0.15 s here; its groups come after 0.5 s."""
    world = World(deadlines=DeadlineConfig(generate_s=0.03, score_s=0.02, start_s=60.0))

    async def work(tasks: asyncio.TaskGroup) -> None:
        world.groups.recovers = recovers
        taking = asyncio.ensure_future(world.take())
        await asyncio.sleep(0.5)
        world.buffer.begin(tasks)
        await world.buffer.open()
        if recovers:
            assert len(await taking) == 2
        else:
            with pytest.raises(DeadlineExceeded, match="groups of version 0"):
                await taking

    async def both() -> None:
        async with asyncio.TaskGroup() as tasks:
            generating = tasks.create_task(world.issue_all())
            await work(tasks)
            generating.cancel()

    asyncio.run(both())


@pytest.mark.parametrize(
    ("environment", "world_s", "is_late"), [("maze", 60.0, False), ("maze", 0.05, True), ("", 60.0, True)]
)
def test_the_time_in_environments_does_not_count_in_the_deadline_of_a_step(
    environment: str, world_s: float, is_late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that a step may take without them is 0.15 s here; its groups come after 1 s."""
    world = World(deadlines=DeadlineConfig(generate_s=0.03, score_s=0.02, start_s=60.0), world_s=world_s)
    run, at = world.groups.run, world.prompts.at

    async def slowly(request: GroupRequest) -> ScoredGroup:
        await asyncio.sleep(1.0)
        return await run(replace(request, prompt=replace(request.prompt, environment="")))

    monkeypatch.setattr(world.groups, "run", slowly)
    monkeypatch.setattr(world.prompts, "at", lambda position: replace(at(position), environment=environment))

    async def work(tasks: asyncio.TaskGroup) -> None:
        if is_late:
            with pytest.raises(DeadlineExceeded, match="groups of version 0"):
                await world.take()
            await world.buffer.leave_behind([], all_others=True)
        else:
            assert len(await world.take()) == 2

    world.during(work)
