"""Trajectories of agents over loopback, with the openai client, on scripted engines and worlds."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from openai import APIConnectionError, APIError, AsyncOpenAI, AuthenticationError

from r1ray.config.environment import EnvironmentConfig
from r1ray.endpoint.server import Endpoint
from r1ray.errors import EngineLost, EnvironmentFailed, EnvironmentLost, InfrastructureError
from r1ray.rollout.agent_line import AgentLine
from r1ray.rollout.engine import Generated, TrajectoryRequest
from r1ray.rollout.episode import Episodes
from r1ray.rollout.group_worker import GroupWorker
from r1ray.turns import Access, Done
from r1ray.types import Trajectory, VersionSpan
from tests.rollout.agents import TOOLS, AgentWorlds, by_client, client_of, play, say, told, user
from tests.rollout.scripted import Engine, Renderer, state, turns_of, until, within
from tests.rollout.test_group_in_worlds import order
from tests.rollout.test_group_worker import Rewards


async def appends(client: AsyncOpenAI, num_turns: int = 3, **more: Any) -> None:
    """Call again and again with all that was said."""
    history = [user("go")]
    for _ in range(num_turns):
        history += [told(await say(client, history, **more)), user("on")]


def played(trajectory: Trajectory, engine: Engine) -> bool:
    return turns_of(trajectory) == [(each.given, each.sampled) for each in engine.asked]


def test_an_agents_calls_are_one_row_with_what_its_world_says_at_the_end() -> None:
    engine = Engine(lambda of, turn: ["think|a", '<add {"a": 1}>', "out"][turn])

    async def agent(client: AsyncOpenAI) -> Done:
        await appends(client, tools=TOOLS)
        return Done(rewards={"tests": 1}, label="exited", detail="3 passed")

    trajectory = within(20, play(by_client(agent), engine))
    assert played(trajectory, engine) and len(trajectory.branches) == 1 and trajectory.status == "finished"
    world = trajectory.world
    assert world is not None and world.agent is not None
    assert (world.rewards, world.label, world.detail) == ({"tests": 1.0}, "exited", "3 passed")
    assert (world.num_calls, world.num_errors, world.turn_tokens) == (1, 0, (8, 15, 4))
    assert (world.agent.num_answered, world.agent.num_extending, world.agent.refused) == (3, 2, {})
    assert [each.of.turn_id for each in engine.asked] == ["0/0#0/1", "0/0#0/2", "0/0#0/3"]


def test_versions_that_come_in_the_middle_of_a_call_are_those_of_its_tokens() -> None:
    class Published(Engine):
        async def generate(self, of: TrajectoryRequest) -> Generated:
            made = (await super().generate(of)).trajectory
            spans = (VersionSpan(3, 0, 1), VersionSpan(4, 1, len(made.segments[0].token_ids)))
            return Generated(replace(made, segments=(replace(made.segments[0], versions=spans),)), 0)

    trajectory = within(20, play(by_client(appends), Published()))
    assert [len(segment.versions) for segment in trajectory.policy_segments] == [2, 2, 2]
    assert (trajectory.oldest_version, trajectory.newest_version) == (3, 4)


def test_an_agent_is_not_out_of_time_by_what_its_calls_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AgentLine, "idle_s", 0.0)
    engine = Engine(wait=lambda of, turn: asyncio.sleep(0.3))
    trajectory = within(20, play(by_client(partial(appends, num_turns=2)), engine, max_turns=2, step_timeout_s=0.05))
    assert trajectory.status == "finished" and trajectory.num_policy_tokens == 6


def test_an_agent_that_is_out_of_time_is_told_and_judged_by_what_it_has_left() -> None:
    async def hangs(access: Access, out_of_time: asyncio.Event) -> Done:
        async with client_of(access) as client:
            await say(client, [user("go")])
        await out_of_time.wait()
        return Done(rewards={"tests": 0.0}, label="deadline")

    trajectory = within(20, play(hangs, Engine(), max_turns=1, step_timeout_s=0.5))
    assert trajectory.status == "truncated" and trajectory.world is not None
    assert trajectory.world.label == "deadline" and trajectory.world.seconds >= 0.4


def test_an_agent_that_calls_nothing_has_failed_and_its_end_is_said() -> None:
    async def exits(access: Access, out_of_time: asyncio.Event) -> Done:
        return Done(label="exited", detail="mini: error: no such option")

    said = "environment maze: its agent ended with exited without a call that was answered; its end: mini: error"
    with pytest.raises(EnvironmentFailed, match=said) as caught:
        within(20, play(exits, Engine()))
    assert caught.value.kind == "the agent ended without a call that was answered"

    async def refused(client: AsyncOpenAI) -> None:
        with pytest.raises(APIError):
            await say(client, [user("go")], n=2)

    with pytest.raises(EnvironmentFailed, match=r"\(refused: constrained_sampling 1\)"):
        within(20, play(by_client(refused), Engine()))


def test_an_agent_that_goes_on_at_its_limit_is_cut() -> None:
    async def agent(client: AsyncOpenAI) -> None:
        with pytest.raises(APIError, match="has had its 2 calls"):
            await appends(client, 3)

    trajectory = within(20, play(by_client(agent), Engine(), max_turns=2))
    assert trajectory.status == "truncated" and len(trajectory.policy_segments) == 2


def test_a_key_ends_with_its_agent_and_calls_under_way_with_it() -> None:
    found: list[Access] = []

    async def scenario() -> None:
        engine = Engine(wait=lambda of, turn: asyncio.sleep(30) if of.call == 2 else None)

        async def agent(access: Access, out_of_time: asyncio.Event) -> Done:
            found.append(access)
            async with client_of(access) as client:
                first = await say(client, [user("go")])
                late = asyncio.create_task(say(client, [user("go"), told(first), user("on")]))
                await until(lambda: len(engine.asked) == 2)
                late.cancel()
                return Done()

        trajectory = await play(agent, engine)
        assert [segment.text for segment in trajectory.policy_segments] == ["on", "o"] and played(trajectory, engine)
        async with client_of(found[0]) as client:
            with pytest.raises((AuthenticationError, APIConnectionError)):
                await say(client, [user("go")])

    within(20, scenario())


def test_no_engine_ends_the_trajectory_and_a_lost_world_begins_it_again() -> None:
    class Dead(Engine):
        async def generate(self, of: Any) -> Any:
            raise EngineLost("it has died")

    async def calls(client: AsyncOpenAI) -> None:
        try:
            await say(client, [user("go")])
        except APIError:
            await asyncio.sleep(30)  # it is not waited for

    with pytest.raises(EngineLost):
        within(20, play(by_client(calls), Dead()))

    attempts: list[str] = []

    async def lost(access: Access, out_of_time: asyncio.Event) -> Done:
        attempts.append(access.api_key)
        if len(attempts) < 3:
            async with client_of(access) as client:
                await say(client, [user("lost")])
            raise EnvironmentLost("its worker died")
        return await by_client(appends)(access, out_of_time)

    trajectory = within(20, play(lost, Engine()))
    assert len(set(attempts)) == 3 and len(trajectory.policy_segments) == 3

    async def fails(access: Access, out_of_time: asyncio.Event) -> Done:
        raise InfrastructureError("no memory")

    with pytest.raises(EnvironmentLost, match="no memory"):
        within(20, play(fails, Engine()))


def test_a_reward_that_is_no_number_is_the_worlds_failure() -> None:
    async def agent(client: AsyncOpenAI) -> Done:
        await appends(client)
        return Done(rewards={"tests": float("nan")})

    with pytest.raises(EnvironmentFailed, match="the part tests of its reward is nan"):
        within(20, play(by_client(agent), Engine()))


def test_a_group_of_agents_is_scored_and_one_that_is_closed_keeps_what_was_sampled() -> None:
    async def scenario() -> None:
        endpoint = Endpoint("127.0.0.1")
        slow = {"0/0#3"}
        engine = Engine(wait=lambda of, turn: asyncio.sleep(30) if of.id in slow and of.call == 2 else None)
        worlds = AgentWorlds(by_client(appends))
        episodes = Episodes(worlds, Renderer(), EnvironmentConfig(), max_prompt_tokens=100, endpoint=endpoint)
        worker = GroupWorker(Rewards(), deadline_s=20.0, episodes=episodes)
        await worker.set_engines([state(engine)])
        group = await worker.run(order(min_group_size=3))
        assert [each.num_turns for each in group.trajectories] == [3] * 3
        (removed,) = group.removed
        assert (removed.reason, removed.num_policy_tokens) == ("enough", 4), "two turns, the second as far as it came"
        (found,) = await worker.read(group.incarnation, ["0/0#3"])
        assert found is not None and found.status == "aborted" and found.world is not None
        assert all(each.world is not None and each.world.agent is not None for each in group.trajectories)
        await until(lambda: all(world.is_left for world in worlds.made))
        await endpoint.stop()

    within(20, scenario())
