"""Episodes on a scripted engine, renderer and world; every test ends within a second or two."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1ray.config.environment import EnvironmentConfig
from r1ray.errors import EnvironmentFailed, EnvironmentLost, InfrastructureError, PromptTooLong
from r1ray.rollout.episode import Episodes
from r1ray.rollout.history import DROPPED, SUMMARISE
from r1ray.rollout.placement import Placement
from r1ray.rollout.turn_sampler import GroupTurns, TurnSampler
from r1ray.turns import Action, Done, Message, Observation
from r1ray.types import Trajectory
from tests.rollout.scripted import (
    CALCULATOR,
    Engine,
    Renderer,
    Worlds,
    encode,
    request,
    state,
    told,
    turns_of,
    within,
)


async def play(
    engine: Engine,
    worlds: Worlds,
    *,
    renderer: Renderer | None = None,
    max_prompt_tokens: int = 1000,
    max_tokens: int = 1000,
    max_row_tokens: int = sys.maxsize,
    **config: Any,
) -> Trajectory:
    placement = Placement()
    placement.update([state(engine)])
    sampler, turns = TurnSampler(placement, deadline_s=5.0), GroupTurns()
    episodes = Episodes(
        worlds,
        renderer or Renderer(),
        EnvironmentConfig(**config),
        max_prompt_tokens=max_prompt_tokens,
        max_row_tokens=max_row_tokens,
    )
    of = request(max_tokens=max_tokens)
    trajectory = await episodes.play(of, lambda each: sampler.sample(turns, each), begun=lambda episode: None)
    assert turns_of(trajectory) == [(each.given, each.sampled) for each in engine.asked], "the learner reads another"
    assert trajectory.world is not None
    assert list(trajectory.world.turn_tokens) == [len(each.sampled) for each in engine.asked]
    assert len(trajectory.world.turn_rewards) == len(engine.asked)
    await asyncio.sleep(0)
    assert all(world.is_left for world in worlds.made)
    return trajectory


def texts(trajectory: Trajectory) -> list[str]:
    return [segment.text for segment in trajectory.segments]


def ends_at(turn: int, answer: Callable[[Action], Observation], **done: Any) -> Callable[[Action], Any]:
    return lambda action: Done(**done) if action.turn == turn else answer(action)


def test_turns_alternate_until_the_world_ends() -> None:
    engine = Engine(lambda of, turn: ["left", "right", "out"][turn])
    worlds = Worlds(
        ends_at(2, lambda action: told(f"after {action.content}"), rewards={"exit": 1.0}, label="out", detail="so")
    )
    trajectory = within(20, play(engine, worlds))
    assert texts(trajectory) == [
        *("left", "[user:after left][assistant:", "right", "[user:after right][assistant:", "out")
    ]
    assert [segment.kind for segment in trajectory.segments] == ["policy", "context"] * 2 + ["policy"]
    assert [segment.role for segment in trajectory.segments[:2]] == ["assistant", "user"]
    assert trajectory.status == "finished" and trajectory.is_ended and trajectory.seconds == 3.0
    world = trajectory.world
    assert world is not None and (world.name, world.rewards, world.label, world.detail) == (
        *("maze", {"exit": 1.0}, "out", "so"),
    )
    assert [action.turn for action in worlds.made[0].actions] == [0, 1, 2]
    assert all(each.of.sampling.stop_token_ids == (2,) for each in engine.asked)
    assert len({each.of.seed for each in engine.asked}) == 3, "equal turns would draw equal numbers"


def test_calls_errors_and_rewards_of_turns_are_counted() -> None:
    engine = Engine(lambda of, turn: ['<add {"a": 1}><add {}>', "<add {>", "done"][turn])
    answers = [
        told("3", role="tool", tool="add", rewards={"step": 0.5}, num_errors=1),
        told("malformed", role="tool", tool="add"),
        Done(turn_rewards={"step": 2.0}),
    ]
    worlds = Worlds(lambda action: answers[action.turn], tools=(CALCULATOR,))
    trajectory = within(20, play(engine, worlds))
    world = trajectory.world
    assert world is not None and (world.num_calls, world.num_errors) == (3, 2)
    assert world.turn_rewards == ({"step": 0.5}, {}, {"step": 2.0})
    assert [(segment.role, segment.tool) for segment in trajectory.segments[1::2]] == [("tool", "add")] * 2


def test_a_malformed_call_ends_the_trajectory_where_a_key_says_so() -> None:
    engine, worlds = Engine(lambda of, turn: "<add {>"), Worlds(lambda action: told("no JSON"))
    trajectory = within(20, play(engine, worlds, on_malformed="end"))
    assert trajectory.status == "finished" and len(trajectory.segments) == 1
    assert trajectory.world is not None and trajectory.world.num_errors == 1


def test_the_last_turn_is_answered_before_their_number_ends_the_trajectory() -> None:
    engine, worlds = Engine(), Worlds(lambda action: told("further"))
    trajectory = within(20, play(engine, worlds, max_turns=3))
    assert trajectory.status == "truncated" and len(trajectory.policy_segments) == 3
    assert len(worlds.made[0].actions) == 3 and trajectory.segments[-1].kind == "policy"
    ended = within(20, play(Engine(), Worlds(ends_at(2, lambda action: told("further"))), max_turns=3))
    assert ended.status == "finished"


def test_a_turn_that_was_cut_goes_on_in_its_world() -> None:
    engine = Engine(lambda of, turn: "a long turn" if turn == 0 else "short")
    worlds = Worlds(ends_at(1, lambda action: told("whole" if action.is_whole else "cut")))
    trajectory = within(20, play(engine, worlds, max_tokens=6, max_trajectory_tokens=500))
    assert texts(trajectory) == ["a long", "][user:cut][assistant:", "short"], "the end of the turn is context"
    assert trajectory.status == "finished"
    cut = within(20, play(Engine(lambda of, turn: "a long turn"), Worlds(lambda action: Done()), max_tokens=6))
    assert cut.status == "truncated"


def test_an_answer_that_is_too_long_loses_its_middle_and_says_so() -> None:
    engine = Engine()
    worlds = Worlds(ends_at(1, lambda action: told("x" * 200 + "y" * 3000 + "z" * 200)))
    trajectory = within(20, play(engine, worlds, max_context_tokens=300, max_trajectory_tokens=900))
    shown = trajectory.segments[1]
    assert len(shown.token_ids) <= 300
    assert shown.text.startswith("[user:xxx") and shown.text.endswith("zzz][assistant:")
    assert "characters are left out: an answer has at most 300 tokens" in shown.text


def test_a_text_of_megabytes_is_cut_before_it_is_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    longest = [0]
    renderer = Renderer()
    bridge = renderer.bridge

    def measured(messages: Any, tools: Any, prompt: Any, sampled: Any, new: Any) -> Any:
        longest[0] = max(longest[0], *(len(each.content) for each in new))
        return bridge(messages, tools, prompt, sampled, new)

    monkeypatch.setattr(renderer, "bridge", measured)
    worlds = Worlds(ends_at(1, lambda action: told("x" * 10_000_000)))
    within(20, play(Engine(), worlds, renderer=renderer, max_context_tokens=200))
    assert longest[0] < 10_000


def test_a_prompt_that_is_too_long_is_refused_as_that_of_a_prompt_without_a_world() -> None:
    with pytest.raises(PromptTooLong, match="prompt p in maze has 7 tokens"):
        within(20, play(Engine(), Worlds(lambda action: Done()), max_prompt_tokens=5))


# ---------------------------------------------------------------------- branches


def test_a_template_that_drops_reasoning_makes_a_branch_of_each_turn() -> None:
    engine = Engine(lambda of, turn: f"thought{turn}|said{turn}")
    worlds = Worlds(ends_at(2, lambda action: told("then")))
    trajectory = within(20, play(engine, worlds, renderer=Renderer(drops_reasoning=True)))
    assert len(trajectory.branches) == 3 and len(trajectory.policy_segments) == 3
    assert Renderer().decode(trajectory.prompt_token_ids.tolist()) == "[user:go][assistant:"
    first, second, third = trajectory.branches
    assert [segment.text for segment in first] == ["thought0|said0"]
    assert [segment.text for segment in second] == ["said0][user:then][assistant:", "thought1|said1"]
    assert [segment.kind for segment in second] == ["context", "policy"] and second[0].role == "history"
    assert third[0].text == "said0][user:then][assistant:said1][user:then][assistant:"


def test_the_prompt_is_the_common_beginning_of_all_branches() -> None:
    engine = Engine(lambda of, turn: "a|b")
    renderer, worlds = Renderer(drops_reasoning=True), Worlds(ends_at(1, lambda action: told("then")))
    prompts = [[9, 9, 1, 4], [9, 9, 1, 5, 6]]
    renderer.prompt = lambda messages, tools: prompts[min(1, len(messages) - 1)]  # type: ignore[method-assign]
    trajectory = within(20, play(engine, worlds, renderer=renderer))
    assert trajectory.prompt_token_ids.tolist() == [9, 9, 1]
    assert [segment.token_ids.tolist() for segment in trajectory.segments if segment.kind == "context"] == [[4], [5, 6]]


def test_all_branches_together_have_no_more_tokens_than_a_micro_batch_holds() -> None:
    engine = Engine(lambda of, turn: "a thought|said")
    worlds = Worlds(lambda action: told("then"))
    limits: dict[str, Any] = {"max_tokens": 30, "max_trajectory_tokens": 400, "max_turns": 50}
    for on_full in ("end", "drop_oldest_results", "summarise"):
        renderer = Renderer(drops_reasoning=True)
        trajectory = within(20, play(engine, worlds, renderer=renderer, max_row_tokens=450, on_full=on_full, **limits))
        assert 300 < trajectory.num_row_tokens <= 450
        assert len(trajectory.branches) > 2 and trajectory.status == "truncated"
        engine, worlds = Engine(lambda of, turn: "a thought|said"), Worlds(lambda action: told("then"))


# ---------------------------------------------------------------------- a history that is full


def test_a_full_history_ends_the_trajectory() -> None:
    engine, worlds = Engine(), Worlds(lambda action: told("x" * 40))
    trajectory = within(20, play(engine, worlds, max_trajectory_tokens=120, max_turns=50))
    assert trajectory.status == "truncated" and len(trajectory.policy_segments) == 3
    assert sum(len(segment.token_ids) for segment in trajectory.segments) <= 120


def test_the_room_of_a_history_bounds_its_turns() -> None:
    engine, worlds = Engine(lambda of, turn: "y" * 70), Worlds(lambda action: told("x" * 10))
    trajectory = within(20, play(engine, worlds, max_trajectory_tokens=100, max_turns=50))
    assert sum(len(segment.token_ids) for segment in trajectory.segments) == 100
    assert trajectory.status == "truncated"


def test_the_oldest_results_lose_their_text_and_the_trajectory_goes_on_in_a_branch() -> None:
    engine = Engine(lambda of, turn: f"turn{turn}")
    worlds = Worlds(ends_at(11, lambda action: told(f"result{action.turn}" + "x" * 400)))
    trajectory = within(
        10, play(engine, worlds, max_trajectory_tokens=2400, max_turns=50, on_full="drop_oldest_results")
    )
    assert trajectory.status == "finished" and len(trajectory.policy_segments) == 12
    first, second = trajectory.branches[:2]
    assert len(trajectory.branches) < 6, "a branch makes room for several turns"
    assert "result0x" in first[1].text and "result0x" not in second[0].text and DROPPED in second[0].text
    assert f"result{len([s for s in first if s.kind == 'policy']) - 1}x" in second[0].text, "the newest stays"
    rows = [len(trajectory.prompt_token_ids) + sum(len(s.token_ids) for s in branch) for branch in trajectory.branches]
    assert max(rows) <= 2400 + len(trajectory.prompt_token_ids)


def test_results_that_are_too_long_without_their_text_end_the_trajectory() -> None:
    engine, worlds = Engine(), Worlds(lambda action: told("x" * 80))
    trajectory = within(
        20, play(engine, worlds, max_trajectory_tokens=300, max_turns=50, on_full="drop_oldest_results")
    )
    assert trajectory.status == "truncated"


def test_the_policy_sums_a_full_history_up_itself() -> None:
    def script(of: Any, turn: int) -> str:
        asked = Renderer().decode(of.given.tolist()).endswith(f"[user:{SUMMARISE}][assistant:")
        return "all that is known" if asked else f"turn{turn}"

    engine = Engine(script)
    worlds = Worlds(ends_at(8, lambda action: told(f"result{action.turn}" + "x" * 80)))
    trajectory = within(10, play(engine, worlds, max_trajectory_tokens=900, max_turns=50, on_full="summarise"))
    assert trajectory.status == "finished" and len(worlds.made[0].actions) == 9
    first, second = trajectory.branches[:2]
    assert first[-1].text == "all that is known" and first[-1].kind == "policy", "it is in the loss"
    assert "all that is known" in second[0].text and second[0].kind == "context"
    assert trajectory.world is not None and len(trajectory.world.turn_rewards) == len(trajectory.policy_segments)
    num_worlds_turns = len(worlds.made[0].actions)
    assert len(trajectory.policy_segments) == num_worlds_turns + len(trajectory.branches) - 1


@settings(max_examples=60, deadline=None)
@given(
    turns=st.lists(
        st.sampled_from(["a", "b|c", "<add {}>", "<add {>", "think|<add {}>", "x" * 90, ""]), min_size=1, max_size=12
    ),
    answers=st.lists(st.integers(0, 400), min_size=1, max_size=6),
    on_full=st.sampled_from(["end", "drop_oldest_results", "summarise"]),
    drops=st.booleans(),
    room=st.integers(40, 700),
    row=st.integers(40, 3000),
    max_tokens=st.integers(1, 100),
    context=st.integers(20, 200),
)
def test_the_tokens_of_a_branch_are_those_that_the_engine_was_asked_for(
    turns: list[str], answers: list[int], on_full: str, drops: bool, room: int, row: int, max_tokens: int, context: int
) -> None:
    engine = Engine(lambda of, turn: turns[turn % len(turns)])
    worlds = Worlds(ends_at(len(turns), lambda action: told("r" * answers[action.turn % len(answers)])))
    trajectory = within(
        10,
        play(  # compares them
            engine,
            worlds,
            renderer=Renderer(drops_reasoning=drops),
            max_tokens=max_tokens,
            max_trajectory_tokens=room,
            max_row_tokens=row,
            max_context_tokens=context,
            on_full=on_full,
        ),
    )
    longest = len(engine.asked[0].given) + room
    assert trajectory.num_row_tokens <= max(row, longest)
    assert all(len(each.given) + len(each.sampled) <= longest for each in engine.asked)
    assert trajectory.num_policy_tokens == sum(len(each.sampled) for each in engine.asked)


# ---------------------------------------------------------------------- failures


def test_a_lost_world_begins_the_trajectory_again() -> None:
    engine = Engine()
    worlds = Worlds(
        lambda action: EnvironmentLost("gone") if len(worlds.made) < 3 and action.turn == 1 else _over(action)
    )
    trajectory = within(20, play_again(engine, worlds))
    assert len(worlds.made) == 3 and [world.seed for world in worlds.made] == [0, 0, 0]
    assert len(trajectory.policy_segments) == 3 and all(world.is_left for world in worlds.made)


def _over(action: Action) -> Any:
    return Done() if action.turn == 2 else told("on")


async def play_again(engine: Engine, worlds: Worlds) -> Trajectory:
    """Play without a look at what the engine was asked for: it was asked in several attempts."""
    placement = Placement()
    placement.update([state(engine)])
    sampler, turns = TurnSampler(placement, deadline_s=5.0), GroupTurns()
    episodes = Episodes(worlds, Renderer(), EnvironmentConfig(), max_prompt_tokens=100)
    try:
        return await episodes.play(request(), lambda each: sampler.sample(turns, each), begun=lambda each: None)
    finally:
        await asyncio.sleep(0)


@pytest.mark.parametrize("error", [EnvironmentLost("planted"), InfrastructureError("no network")])
def test_one_that_is_lost_three_times_is_given_up(error: Exception) -> None:
    worlds = Worlds(lambda action: error)
    with pytest.raises(EnvironmentLost, match=str(error)):
        within(20, play_again(Engine(), worlds))
    assert len(worlds.made) == 3 and all(world.is_left for world in worlds.made)
    worlds = Worlds(_over, fails=lambda number: error if number < 2 else None)
    within(20, play_again(Engine(), worlds))
    assert len(worlds.made) == 3


def test_an_error_of_the_environments_own_is_not_tried_again() -> None:
    failed = EnvironmentFailed("division by zero", "ZeroDivisionError at maze.py:3", "Traceback ...")
    worlds = Worlds(lambda action: failed)
    with pytest.raises(EnvironmentFailed, match="division by zero"):
        within(20, play_again(Engine(), worlds))
    assert len(worlds.made) == 1 and worlds.made[0].is_left


def test_messages_that_the_template_refuses_are_the_environments_own_fault() -> None:
    worlds = Worlds(lambda action: told("odd"))
    with pytest.raises(EnvironmentFailed, match="takes no such message"):
        within(20, play(Engine(), worlds, renderer=Renderer(refuses="odd")))


def test_the_trajectories_of_a_group_begin_in_the_same_world() -> None:
    seeds = []
    for index in (0, 3):
        worlds = Worlds(lambda action: Done())
        episodes = Episodes(worlds, Renderer(), EnvironmentConfig(), max_prompt_tokens=100)
        placement = Placement()

        async def one(index: int = index, episodes: Episodes = episodes, placement: Placement = placement) -> None:
            placement.update([state(Engine())])
            sampler = TurnSampler(placement, deadline_s=5.0)
            of = request(seed=40, index=index)
            await episodes.play(of, lambda each: sampler.sample(GroupTurns(), each), begun=lambda each: None)

        within(20, one())
        seeds.append(worlds.made[0].seed)
    assert seeds == [40, 40]


def test_the_tools_of_the_first_observation_are_offered_in_all_turns() -> None:
    engine = Engine(lambda of, turn: "a|b")
    within(20, play(engine, Worlds(_over, tools=(CALCULATOR,)), renderer=Renderer(drops_reasoning=True)))
    assert len(engine.asked) == 3 and all(
        each.given[: len(encode("1 tools."))] == encode("1 tools.") for each in engine.asked
    )


def test_a_message_may_be_empty() -> None:
    within(20, play(Engine(), Worlds(ends_at(1, lambda action: Observation(messages=())))))
    within(20, play(Engine(), Worlds(ends_at(1, lambda action: Observation(messages=(Message("user", ""),))))))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "0.5", None])
def test_a_reward_that_is_no_finite_number_is_the_environments_own_fault(value: Any) -> None:
    for answer in (told("x", rewards={"step": value}), Done(rewards={"exit": value}), Done(turn_rewards={"x": value})):
        with pytest.raises(EnvironmentFailed, match="of its reward is"):
            within(20, play_again(Engine(), Worlds(lambda action, answer=answer: answer)))  # type: ignore[misc]
