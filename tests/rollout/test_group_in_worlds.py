"""Groups whose prompts have an environment, on engines and worlds that are fakes of our own roles."""

from __future__ import annotations

import asyncio
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from r1ray.config.environment import EnvironmentConfig
from r1ray.errors import EngineLost, EnvironmentFailed, EnvironmentLost
from r1ray.rollout.episode import Episodes
from r1ray.rollout.group_worker import GroupWorker
from r1ray.rollout.placement import EngineState, Placement
from r1ray.rollout.turn_sampler import GroupTurns, TurnSampler
from r1ray.turns import Action, Done
from r1ray.types import GroupRequest, Sampling, ScoredGroup, Trajectory
from tests.rollout.scripted import PROMPT, Engine, Renderer, Worlds, request, state, told, turns_of, until, within
from tests.rollout.test_group_worker import Rewards


def order(**changes: Any) -> GroupRequest:
    settings = {"group_id": "0/0", "prompt": PROMPT, "group_size": 4, "sampling": Sampling(1.0, 1.0, 1000), "seed": 0}
    return GroupRequest(**(settings | changes))  # type: ignore[arg-type]


async def worker_of(worlds: Worlds, *engines: EngineState, deadline_s: float = 5.0) -> GroupWorker:
    episodes = Episodes(worlds, Renderer(), EnvironmentConfig(), max_prompt_tokens=100)
    worker = GroupWorker(Rewards(), deadline_s=deadline_s, episodes=episodes)
    await worker.set_engines(engines)
    return worker


def three_turns(action: Action) -> Any:
    return Done(rewards={"exit": 1.0}) if action.turn == 2 else told("on")


async def held(worker: GroupWorker, group: ScoredGroup) -> list[Trajectory]:
    read = await worker.read(group.incarnation, group.ids)
    return [each for each in read if each is not None]


def test_the_trajectories_of_a_group_are_scored_with_what_their_worlds_said() -> None:
    async def scenario() -> None:
        worlds = Worlds(three_turns)
        worker = await worker_of(worlds, state(Engine()))
        group = await worker.run(order())
        assert [each.num_turns for each in group.trajectories] == [3] * 4 and group.num_retries == 0
        assert all(each.world is not None and each.world.rewards == {"exit": 1.0} for each in group.trajectories)
        assert len({id(world) for world in worlds.made}) == 4 and all(world.is_left for world in worlds.made)

    within(20, scenario())


def test_who_waits_for_a_world_holds_no_slot() -> None:
    async def scenario() -> None:
        answering, go_on = [0], asyncio.Event()

        async def waits() -> Any:
            answering[0] += 1
            await go_on.wait()
            return Done()

        worker = await worker_of(Worlds(lambda action: waits()), state(Engine(), slots=1))
        running = asyncio.create_task(worker.run(order()))
        await until(lambda: answering[0] == 4)  # there is one slot
        assert (await worker.status()).generating == 0
        go_on.set()
        assert len((await running).trajectories) == 4

    within(20, scenario())


def test_turns_stay_on_their_engine_until_new_weights_come() -> None:
    async def scenario() -> None:
        shared: dict[str, int] = {}
        busy, idle = Engine(turns=shared, kv_tokens=10_000), Engine(turns=shared)
        waiting, go_on = [0], asyncio.Event()

        async def waits(action: Action) -> Any:
            if action.turn == 1:
                waiting[0] += 1
                await go_on.wait()
            return Done() if action.turn == 3 else told("on")

        def states(how: str) -> list[EngineState]:
            return [state(engine, name=f"engine {i}", state=how) for i, engine in enumerate((busy, idle))]

        worker = await worker_of(Worlds(waits), *states("serving"))
        running = asyncio.create_task(worker.run(order(group_size=8)))
        await until(lambda: waiting[0] == 8)
        first = {each.of.id for each in busy.asked}
        assert first and not first & {each.of.id for each in idle.asked}
        assert len(busy.asked) == 2 * len(first) and len(idle.asked) == 2 * (8 - len(first))
        await worker.set_engines(states("held"))
        await worker.set_engines(states("serving"))
        go_on.set()
        await running
        assert len(idle.asked) > 2 * len(busy.asked), "the least busy one has got the others"

    within(20, scenario())


def test_an_engine_that_is_lost_in_the_third_turn_costs_this_turn_and_no_world() -> None:
    async def scenario() -> None:
        shared: dict[str, int] = {}

        async def never() -> None:
            await asyncio.sleep(9)

        stuck = Engine(turns=shared, wait=lambda of, turn: never() if turn == 2 else None)
        other = Engine(turns=shared, version=7)
        worlds = Worlds(three_turns)
        worker = await worker_of(worlds, state(stuck))
        running = asyncio.create_task(worker.run(order()))
        await until(lambda: len(stuck.asked) == 12)
        await worker.set_engines([state(stuck, state="lost"), state(other, name="engine 1")])
        group = await running
        assert len(group.trajectories) == 4 and len(worlds.made) == 4 and group.num_retries == 4
        assert len(other.asked) == 4 and [len(world.actions) for world in worlds.made] == [3] * 4
        assert {(each.oldest_version, each.newest_version) for each in group.trajectories} == {(0, 7)}

    within(20, scenario())


def test_a_late_turn_goes_on_from_where_it_stood_with_the_turns_before() -> None:
    async def scenario() -> None:
        async def long() -> None:
            await asyncio.sleep(9)

        engine = Engine(
            lambda of, turn: "turns", wait=lambda of, turn: long() if turn == 1 and of.begun is None else None
        )
        worker = await worker_of(Worlds(three_turns), state(engine), deadline_s=0.4)
        group = await worker.run(order(group_size=2))
        assert len(group.trajectories) == 2 and sorted(engine.aborted) == ["0/0#0", "0/0#1"]
        assert len([each for each in engine.asked if each.of.begun is not None]) == 2
        for each in await held(worker, group):
            assert [segment.text for segment in each.policy_segments] == ["turns"] * 3
            asked = [one for one in engine.asked if one.of.id == each.id and one.sampled != one.sampled[:1]]
            assert turns_of(each) == [(one.given, one.sampled) for one in asked]

    within(20, scenario())


def test_the_clock_of_a_trajectory_runs_over_all_its_turns() -> None:
    async def scenario() -> None:
        async def long() -> None:
            await asyncio.sleep(99)

        engine = Engine(wait=lambda of, turn: long() if of.begun is None and turn == 1 else asyncio.sleep(0.05))
        placement, turns = Placement(), GroupTurns()
        placement.update([state(engine)])
        sampler = TurnSampler(placement, deadline_s=60.0)
        of = replace(request(), given=np.array([1], np.int32))
        await sampler.sample(turns, of)
        assert turns.spent_s[of.id] >= 0.05
        turns.spent_s[of.id] = 59.9
        turn = await sampler.sample(turns, of)
        assert engine.aborted == [of.id] and turn.status == "finished"
        assert turns.num_failures == {of.id: 1} and turns.spent_s[of.id] < 59.0, "it went on with a new clock"

    within(20, scenario())


def test_a_trajectory_has_three_attempts_in_all_its_turns() -> None:
    async def scenario() -> None:
        async def lost() -> None:
            raise EngineLost("planted")

        failing = {0: 1, 1: 2}  # turn: how often

        def wait(of: Any, turn: int) -> Any:
            if of.index or not failing.get(turn):
                return None
            failing[turn] -= 1
            return lost()

        worker = await worker_of(Worlds(three_turns), state(Engine(wait=wait)))
        group = await worker.run(order())
        assert [(each.index, each.reason) for each in group.removed] == [(0, "engine_lost")]
        assert group.num_retries == 2

    within(20, scenario())


def test_one_that_is_late_three_times_is_removed_with_the_tokens_of_all_its_turns() -> None:
    async def scenario() -> None:
        async def long() -> None:
            await asyncio.sleep(9)

        engine = Engine(lambda of, turn: "turn", wait=lambda of, turn: long() if turn and of.index == 1 else None)
        worlds = Worlds(three_turns)
        worker = await worker_of(worlds, state(engine), deadline_s=0.2)
        group = await worker.run(order(group_size=3))
        (removed,) = group.removed
        assert (removed.index, removed.reason, removed.num_policy_tokens) == (1, "late", 5 + 1)
        partial = (await held(worker, group))[1]
        assert partial.status == "aborted" and partial.world is not None and partial.world.turn_tokens == (5, 1)
        await asyncio.sleep(0)
        assert all(world.is_left for world in worlds.made)

    within(20, scenario())


def test_an_abort_leaves_the_worlds_and_keeps_what_was_said_in_them() -> None:
    async def scenario() -> None:
        async def waits() -> Any:
            await asyncio.sleep(9)

        worlds = Worlds(lambda action: waits() if action.turn == 1 else told("on"))
        engine = Engine(lambda of, turn: "turn")
        worker = await worker_of(worlds, state(engine))
        running = asyncio.create_task(worker.run(order()))
        await until(lambda: len(engine.asked) == 8 and engine.running == 0)
        await worker.abort("0/0", "surplus")
        group = await running
        assert [(each.reason, each.num_policy_tokens) for each in group.removed] == [("surplus", 10)] * 4
        await asyncio.sleep(0)
        assert len(worlds.made) == 4 and all(world.is_left for world in worlds.made)
        assert [len(each.policy_segments) for each in await held(worker, group)] == [2] * 4

    within(20, scenario())


def test_an_abort_in_the_middle_of_a_turn_keeps_its_tokens_and_those_before() -> None:
    async def scenario() -> None:
        async def long() -> None:
            await asyncio.sleep(99)

        engine = Engine(lambda of, turn: "turn", wait=lambda of, turn: long() if turn == 1 else None)
        worlds = Worlds(three_turns)
        worker = await worker_of(worlds, state(engine), deadline_s=50.0)
        running = asyncio.create_task(worker.run(order()))
        await until(lambda: engine.running == 4)
        await worker.abort("0/0", "surplus")
        group = await running
        assert [(each.reason, each.num_policy_tokens) for each in group.removed] == [("surplus", 5 + 1)] * 4
        assert [each.status for each in await held(worker, group)] == ["aborted"] * 4
        await asyncio.sleep(0)
        assert all(world.is_left for world in worlds.made)

    within(20, scenario())


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (EnvironmentLost("the worker died"), "environment_lost"),
        (
            EnvironmentFailed("environment maze: " + "zero " * 9999, "ZeroDivisionError at maze.py:3", "line\n" * 9999),
            "environment_failed",
        ),
    ],
)
def test_a_trajectory_without_a_world_is_left_out_and_its_group_goes_on(error: Exception, reason: str) -> None:
    async def scenario() -> None:
        def answer(action: Action) -> Any:
            return error if action.content == "1" else three_turns(action)

        worker = await worker_of(Worlds(answer), state(Engine(lambda of, turn: str(of.index))))
        group = await worker.run(order())
        assert [each.index for each in group.trajectories] == [0, 2, 3]
        (removed,) = group.removed
        assert (removed.index, removed.reason, removed.num_policy_tokens) == (1, reason, 2)
        assert group.num_retries == (2 if reason == "environment_lost" else 0)
        if reason == "environment_failed":
            assert removed.failure is not None and removed.failure.part == "maze"
            assert removed.failure.kind == "ZeroDivisionError at maze.py:3"
            assert removed.failure.message.startswith("zero zero"), "its name is said once"
            assert len(pickle.dumps(group)) < 10 * 1024, "all of it passes through the driver"

    within(20, scenario())


def test_an_engine_that_is_lost_again_and_again_is_no_fault_of_the_world() -> None:
    async def scenario() -> None:
        async def lost() -> None:
            raise EngineLost("planted")

        def wait(of: Any, turn: int) -> Any:
            return lost() if of.index == 1 and turn == 1 else None

        worlds = Worlds(three_turns)
        worker = await worker_of(worlds, state(Engine(wait=wait)))
        group = await worker.run(order())
        assert [(each.index, each.reason, each.num_policy_tokens) for each in group.removed] == [(1, "engine_lost", 3)]
        assert len(worlds.made) == 4

    within(20, scenario())


def test_groups_with_and_without_a_world_run_side_by_side() -> None:
    from tests.rollout.test_group_worker import Engine as PlainEngine
    from tests.rollout.test_group_worker import request as plain_request

    async def scenario() -> None:
        class Both(PlainEngine):
            async def generate(self, of: Any) -> Any:
                return await (worlds_engine.generate(of) if of.given is not None else super().generate(of))

        worlds_engine = Engine()
        worker = await worker_of(Worlds(three_turns), state(Both()))
        plain, played = await asyncio.gather(worker.run(plain_request("0/1")), worker.run(order()))
        assert [each.num_turns for each in plain.trajectories] == [1] * 4
        assert [each.num_turns for each in played.trajectories] == [3] * 4
        assert all(each.world is None for each in plain.trajectories)

    within(20, scenario())


def test_sampling_alone_plays_worlds_too() -> None:
    async def scenario() -> None:
        worker = await worker_of(Worlds(three_turns), state(Engine()))
        trajectories = await worker.sample(order())
        assert [len(each.policy_segments) for each in trajectories] == [3] * 4
        assert (await worker.status()).held == 0

    within(20, scenario())
