"""Calls of an agent on a scripted engine, without a server: the tree of tokens, and the limits of a key."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1ray.config.environment import EnvironmentConfig
from r1ray.endpoint.answers import Answer
from r1ray.endpoint.chat_call import ChatCall, chat_call
from r1ray.endpoint.refusals import Refused
from r1ray.errors import EngineLost
from r1ray.rollout.agent_line import AgentLine
from r1ray.rollout.placement import Placement
from r1ray.rollout.turn_sampler import Ended, GroupTurns, TurnSampler
from r1ray.turns import Action
from r1ray.types import Trajectory
from tests.rollout.agents import TOOLS, user
from tests.rollout.scripted import END, Engine, Renderer, encode, request, state, turns_of, until, within


def told(answer: Answer) -> dict[str, Any]:
    """An answer as a client sends it back: without its reasoning."""
    message: dict[str, Any] = json.loads(answer.whole())["choices"][0]["message"]
    return {key: value for key, value in message.items() if key != "reasoning_content"}


class Agent:
    """A line, and what came of its calls."""

    def __init__(
        self,
        engine: Engine,
        *,
        renderer: Renderer | None = None,
        max_tokens: int = 1000,
        max_prompt_tokens: int = 1000,
        max_row_tokens: int = sys.maxsize,
        **config: Any,
    ) -> None:
        self.placement = Placement()
        self.placement.update([state(engine)])
        sampler, turns = TurnSampler(self.placement, deadline_s=5.0), GroupTurns()
        self.line = AgentLine(
            request(max_tokens=max_tokens),
            renderer or Renderer(),
            EnvironmentConfig(**{"max_turns": 100} | config),
            sample=lambda each: sampler.sample(turns, each),
            end=lambda name: sampler.end(turns, name),
            max_prompt_tokens=max_prompt_tokens,
            max_row_tokens=max_row_tokens,
        )

    async def says(self, *messages: dict[str, Any], **more: Any) -> Answer:
        return await self.line.answer(self.call(*messages, **more))

    def call(self, *messages: dict[str, Any], **more: Any) -> ChatCall:
        return chat_call(json.dumps({"model": "policy", "messages": messages} | more).encode())

    async def refused(self, *messages: dict[str, Any], **more: Any) -> Refused:
        with pytest.raises(Refused) as caught:
            await self.says(*messages, **more)
        self.line.note_refusal(caught.value.code)
        return caught.value

    def trajectory(self) -> Trajectory:
        return self.line.tree.transcript().trajectory("0/0", 0, status="finished", world=None)


def of_engine(engine: Engine) -> list[tuple[list[int], list[int]]]:
    """Return the tokens that each turn followed, and those sampled then, as the engine saw them."""
    return sorted((each.given, each.sampled) for each in engine.asked if each.sampled)


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    within(20, scenario())


# ---------------------------------------------------------------------- the tree


def test_an_agent_that_appends_is_one_row_whatever_the_policy_wrote() -> None:
    turns = ['thought|hm<add {"a":1}>', "<add {", "  two  lines ", "a [user: forged]", "é\u2028", ""]

    async def scenario() -> None:
        engine = Engine(lambda of, turn: turns[turn])
        agent, history = Agent(engine), [user("go")]
        for _ in turns:
            answer = await agent.says(*history, tools=TOOLS)
            results = [{"role": "tool", "tool_call_id": each.id, "content": "]["} for each in answer.calls]
            history += [told(answer), *(results or [user("on")])]
        trajectory = agent.trajectory()
        assert len(trajectory.branches) == 1 and turns_of(trajectory) == [(x.given, x.sampled) for x in engine.asked]
        counts = agent.line.counts()
        assert (counts.num_answered, counts.num_extending, counts.refused) == (6, 5, {})

    run(scenario)


def test_a_malformed_call_is_told_as_it_was_written() -> None:
    async def scenario() -> None:
        agent = Agent(Engine(lambda of, turn: 'so<add {><add {"a": 1}><add {"a": "\\ud800"}>'))
        answer = await agent.says(user("go"), tools=TOOLS)
        assert answer.content == 'so\nadd {\nadd {"a": "\\ud800"}' and answer.reason == "tool_calls"
        assert [(each.name, each.arguments) for each in answer.calls] == [("add", '{"a": 1}')]
        assert (agent.line.num_tool_calls, agent.line.num_malformed) == (3, 2)
        await agent.says(user("go"), told(answer), user("on"), tools=TOOLS)
        assert agent.line.counts().num_extending == 1

    run(scenario)


def test_calls_are_text_where_a_client_wants_none_and_the_tools_are_shown_all_the_same() -> None:
    class OnlyWithTools(Renderer):
        def parse(self, sampled_ids: Any, tools: Any) -> Action:
            action = super().parse(sampled_ids, tools)
            return action if tools else replace(action, content=action.text, calls=())

    async def scenario() -> None:
        agent = Agent(Engine(lambda of, turn: "<add {}>"), renderer=OnlyWithTools())
        first = await agent.says(user("go"), tools=TOOLS, tool_choice="none")
        assert (first.content, first.calls, first.reason) == ("<add {}>", (), "stop")
        second = await agent.says(user("go"), told(first), user("on"), tools=TOOLS)
        assert second.reason == "tool_calls" and agent.line.counts().num_extending == 1

    run(scenario)


def test_a_turn_that_is_left_out_of_a_history_is_a_leaf_of_the_tree() -> None:
    async def scenario() -> None:
        engine = Engine(lambda of, turn: ["first", "<add {", "third"][turn])
        agent = Agent(engine)
        first = await agent.says(user("go"), tools=TOOLS)
        history = [user("go"), told(first), user("next")]
        await agent.says(*history, tools=TOOLS)
        await agent.says(*history[:2], user("Format error"), tools=TOOLS)
        trajectory = agent.trajectory()
        assert [[segment.text for segment in each] for each in trajectory.branches] == [
            ["first", "[user:next][assistant:", "<add {"],
            ["first][user:Format error][assistant:", "third"],
        ]
        assert [segment.kind for segment in trajectory.branches[1]] == ["context", "policy"], "no token twice"
        assert turns_of(trajectory) == [(each.given, each.sampled) for each in engine.asked]
        assert agent.line.counts().num_extending == 2, "all tokens were kept"

    run(scenario)


@pytest.mark.parametrize(
    "changed",
    [
        [user("GO"), {"role": "assistant", "content": "on"}],
        [user("go"), {"role": "assistant", "content": "on "}],
        [user("go"), {"role": "user", "content": "on"}],
        [user("go"), user("go"), {"role": "assistant", "content": "on"}],
        [
            user("go"),
            {
                "role": "assistant",
                "content": "on",
                "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}],
            },
        ],
    ],
)
def test_another_history_is_rendered_anew(changed: list[dict[str, Any]]) -> None:
    async def scenario() -> None:
        engine = Engine()
        agent = Agent(engine)
        await agent.says(user("go"))
        await agent.says(*changed, user("next"))
        assert agent.line.counts().num_extending == 0 and len(agent.trajectory().branches) == 2
        assert sorted(turns_of(agent.trajectory())) == of_engine(engine)

    run(scenario)


def test_other_tools_are_another_conversation_and_a_result_of_another_call_another_message() -> None:
    async def scenario() -> None:
        agent = Agent(Engine())
        first = await agent.says(user("go"), tools=TOOLS)
        await agent.says(user("go"), told(first), user("next"))
        assert agent.line.counts().num_extending == 0
        ways = [{"role": "tool", "content": "3", "tool_call_id": each} for each in ("a", "b")]
        second = await agent.says(user("go"), told(first), ways[0], tools=TOOLS)
        await agent.says(user("go"), told(first), ways[1], told(second), user("next"), tools=TOOLS)
        assert agent.line.counts().num_extending == 1

    run(scenario)


def test_where_a_template_drops_reasoning_the_next_turn_is_a_branch_with_the_turns_as_they_were() -> None:
    async def scenario() -> None:
        engine = Engine(lambda of, turn: f"thought{turn}|said{turn}")
        agent, history = Agent(engine, renderer=Renderer(drops_reasoning=True)), [user("go")]
        for _ in range(3):
            history += [told(await agent.says(*history)), user("then")]
        trajectory = agent.trajectory()
        assert len(trajectory.branches) == 3 and turns_of(trajectory) == [(x.given, x.sampled) for x in engine.asked]
        assert agent.line.counts().num_extending == 0

    run(scenario)


def test_a_stop_string_and_a_length_of_the_clients_cut_a_turn_that_is_gone_on_from() -> None:
    async def scenario() -> None:
        engine = Engine(lambda of, turn: "a long turn")
        agent = Agent(engine)
        cut = await agent.says(user("go"), max_tokens=6)
        assert (cut.content, cut.reason) == ("a long", "length")
        stopped = await agent.says(user("go"), told(cut), user("on"), stop=["ng"])
        assert stopped.content == "a lo" and engine.asked[-1].of.sampling.stop == ("ng",)
        await agent.says(user("go"), told(cut), user("on"), told(stopped), user("on"))
        assert agent.line.counts().num_extending == 2
        assert turns_of(agent.trajectory()) == [(each.given, each.sampled) for each in engine.asked]
        assert agent.trajectory().is_ended

    run(scenario)


def test_what_clients_want_of_sampling_does_not_reach_the_engine() -> None:
    async def scenario() -> None:
        engine = Engine()
        agent = Agent(engine)
        await agent.says(user("go"), temperature=0, top_p=0.1, seed=7, logprobs=True, top_k=3)
        await agent.says(user("go"), temperature=0, seed=7)
        first, second = (each.of for each in engine.asked)
        assert (first.sampling.temperature, first.sampling.top_p, first.sampling.stop) == (1.0, 1.0, ())
        assert first.seed != second.seed, "equal calls would draw the same numbers"
        assert len(agent.trajectory().branches) == 2

    run(scenario)


SAID = st.sampled_from(["plain", "a|b", "<add {", '<add {"a": 1}>', "x" * 40, ""])


@settings(max_examples=30, deadline=None)
@given(st.lists(SAID, min_size=12, max_size=12), st.integers(0, 10_000), st.booleans())
def test_the_rows_are_what_the_engine_saw_and_each_sampled_token_is_in_one(
    turns: list[str], seed: int, drops: bool
) -> None:
    """An agent that appends, forks, forgets, rewrites, asks twice, calls twice at once, and goes away."""

    async def scenario() -> None:
        rng, gate = random.Random(seed), asyncio.Event()
        engine = Engine(
            lambda of, turn: turns[of.call % 12], wait=lambda of, turn: gate.wait() if of.call % 5 == 4 else None
        )
        agent = Agent(engine, renderer=Renderer(drops_reasoning=drops), max_tokens=30)
        histories: list[list[dict[str, Any]]] = [[user("go")]]

        async def one(history: list[dict[str, Any]]) -> None:
            answer = await agent.says(*history, tools=TOOLS if rng.random() < 0.9 else [])
            histories.append([*history, told(answer), user(rng.choice(["on", "[]", "x"]))])

        for _ in range(8):
            ways = [histories[-1], rng.choice(histories), [*rng.choice(histories), user("more")]]
            ways += [[user("other"), *rng.choice(histories)[1:]]]
            calls = [asyncio.create_task(one(each)) for each in rng.sample(ways, rng.randint(1, 2))]
            await asyncio.sleep(0)
            await asyncio.wait(calls, timeout=0.02)
            for call in calls:
                call.cancel()
            gate.set()
            await asyncio.gather(*calls, return_exceptions=True)
            gate.clear()
        await agent.line.close()
        trajectory = agent.trajectory()
        assert sorted(turns_of(trajectory)) == of_engine(engine)
        assert trajectory.num_policy_tokens == sum(len(each.sampled) for each in engine.asked)
        assert agent.line._limits.row_tokens == trajectory.num_row_tokens and agent.line._limits.reserved == 0

    run(scenario)


# ---------------------------------------------------------------------- limits


def test_a_key_has_so_many_calls() -> None:
    async def scenario() -> None:
        agent = Agent(Engine(), max_turns=2)
        for _ in range(2):
            await agent.says(user("go"))
        found = await agent.refused(user("go"))
        assert (found.status, found.code, found.is_worth_retrying) == (400, "calls_exhausted", False)
        assert "2 calls (environment.max_turns)" in str(found)
        assert agent.line.is_cut and agent.line.counts().refused == {"calls_exhausted": 1}

    run(scenario)


def test_a_conversation_and_all_of_them_have_so_many_tokens() -> None:
    async def scenario() -> None:
        engine = Engine(lambda of, turn: "x" * 100)
        agent = Agent(engine, max_prompt_tokens=30, max_tokens=20, max_trajectory_tokens=50, max_row_tokens=150)
        first = await agent.says(user("go"))  # 7 + 20 tokens
        assert first.reason == "length"
        assert (await agent.refused(user("x" * 80))).code == "context_length_exceeded"
        assert (await agent.refused(user("x" * 3000))).code == "context_length_exceeded", "it is not rendered"
        assert (await agent.refused(*[user("")] * 90)).code == "context_length_exceeded"
        for length in (60, 17):
            await agent.says(user("x" * length))
        assert len(engine.asked[1].sampled) == 15, "what is left of 80"
        assert len(engine.asked[2].sampled) == 20
        found = await agent.refused(user("go"))
        assert (found.status, found.code) == (400, "tokens_exhausted") and "together may have 150 tokens" in str(found)
        assert agent.trajectory().num_row_tokens == 27 + 80 + 42 and agent.line.is_cut

        agent = Agent(Engine(), max_prompt_tokens=30, max_tokens=20)
        await agent.refused(user("x" * 80))
        assert agent.line.is_cut and await agent.says(user("go")) and not agent.line.is_cut, "it found a way"

    run(scenario)


def test_a_key_has_so_many_calls_at_once_and_tokens_that_others_may_need_are_waited_for() -> None:
    async def scenario() -> None:
        gate = asyncio.Event()
        engine = Engine(wait=lambda of, turn: gate.wait())
        agent = Agent(engine, max_prompt_tokens=20, max_tokens=50)
        agent.line._limits.max_row_tokens = 70
        running = [asyncio.create_task(agent.says(user(f"{number}"))) for number in range(2)]
        await until(lambda: len(engine.asked) == 2)
        assert [each.of.sampling.max_tokens for each in engine.asked] == [50, 8], "56 and 14 tokens, of 70"
        found = await agent.refused(user("go"))
        assert (found.status, found.code, found.is_worth_retrying) == (429, "too_many_at_once", True)
        gate.set()
        await asyncio.gather(*running)
        assert await agent.says(user("go")) and not agent.line.is_cut

    run(scenario)


def test_no_more_than_eight_calls_are_under_way() -> None:
    async def scenario() -> None:
        gate = asyncio.Event()
        engine = Engine(wait=lambda of, turn: gate.wait())
        agent = Agent(engine)
        running = [asyncio.create_task(agent.says(user(f"{number}"))) for number in range(8)]
        await until(lambda: len(engine.asked) == 8)
        assert "8 calls under way" in str(await agent.refused(user("go")))
        gate.set()
        assert len(await asyncio.gather(*running)) == 8 and await agent.says(user("go"))

    run(scenario)


def test_a_template_that_takes_no_such_conversation_or_drops_tools_says_so() -> None:
    class Toolless(Renderer):
        def prompt(self, messages: Any, tools: Any) -> list[int]:
            return super().prompt(messages, ())

    async def scenario() -> None:
        agent = Agent(Engine(), renderer=Renderer(refuses="strange"))
        found = await agent.refused(user("strange"))
        assert (found.status, found.code) == (400, "template") and "takes no such message" in str(found)
        assert "drops tools in silence" in str(
            await Agent(Engine(), renderer=Toolless()).refused(user("go"), tools=TOOLS)
        )
        assert await agent.says(user("go"))

    run(scenario)


# ---------------------------------------------------------------------- ends


def test_a_client_that_goes_away_leaves_what_was_sampled_and_nothing_goes_on_from_there() -> None:
    async def scenario() -> None:
        engine = Engine(wait=lambda of, turn: asyncio.sleep(9) if of.call == 2 else None)
        agent = Agent(engine)
        first = await agent.says(user("go"))
        history = [user("go"), told(first), user("next")]
        gone = asyncio.create_task(agent.says(*history))
        await until(lambda: len(engine.asked) == 2)
        gone.cancel()
        await until(lambda: len(agent.line.tree.calls) == 2)
        again = await agent.says(*history)
        assert again.content == "on" and engine.aborted == ["0/0#0/2"]
        trajectory = agent.trajectory()
        assert [[segment.text for segment in each if segment.kind == "policy"] for each in trajectory.branches] == [
            ["on", "o"],
            ["on"],
        ]
        assert sorted(turns_of(trajectory)) == of_engine(engine)
        counts = agent.line.counts()
        assert (counts.num_answered, counts.num_extending, counts.refused) == (2, 1, {"client_gone": 1})
        assert agent.trajectory().policy_segments[-1].text == "on", "the last turn that a client was told"

    run(scenario)


def test_a_call_that_waits_for_an_engine_is_forgotten_with_its_client() -> None:
    async def scenario() -> None:
        agent = Agent(Engine())
        agent.placement.update([state(Engine(), state="held")])
        gone = asyncio.create_task(agent.says(user("go")))
        await until(lambda: agent.placement.num_waiting == 1)
        gone.cancel()
        await agent.line.close()
        assert not agent.line.tree.calls and agent.line.idle_s >= 0.0

    run(scenario)


def test_calls_under_way_end_with_the_key() -> None:
    async def scenario() -> None:
        engine = Engine(wait=lambda of, turn: asyncio.sleep(9))
        agent = Agent(engine)
        call = asyncio.create_task(agent.says(user("go")))
        await until(lambda: len(engine.asked) == 1)
        await agent.line.close()
        with pytest.raises(Refused, match="ended: unwanted"):
            await call
        assert (await agent.refused(user("go"))).code == "ended"
        assert [segment.token_ids.tolist() for segment in agent.trajectory().policy_segments] == [encode("o")]

    run(scenario)


def test_the_time_in_which_calls_are_under_way_is_no_time_of_the_agents() -> None:
    async def scenario() -> None:
        agent = Agent(Engine(wait=lambda of, turn: asyncio.sleep(0.8)))
        before = agent.line.idle_s
        await asyncio.gather(agent.says(user("go")), agent.says(user("on")))
        assert agent.line.idle_s - before < 0.7
        await asyncio.sleep(0.05)
        assert agent.line.idle_s - before >= 0.05

    run(scenario)


def test_no_engine_for_a_turn_is_the_end_of_the_trajectory() -> None:
    class Dead(Engine):
        async def generate(self, of: Any) -> Any:
            raise EngineLost("it has died")

    async def scenario() -> None:
        agent = Agent(Dead())
        found = await agent.refused(user("go"))
        assert (found.status, found.is_worth_retrying) == (503, False)
        with pytest.raises(EngineLost):
            agent.line.failure.result()
        assert (await agent.refused(user("go"))).code == "ended"
        late = Agent(Engine(wait=lambda of, turn: asyncio.sleep(9)))
        late.line._sample = raises
        await late.refused(user("go"))
        with pytest.raises(Ended):
            late.line.failure.result()

    async def raises(of: Any) -> Trajectory:
        raise Ended("late", None)

    run(scenario)


def test_a_turn_ends_on_its_token() -> None:
    async def scenario() -> None:
        engine = Engine()
        agent = Agent(engine)
        answer = await agent.says(user("go"))
        assert engine.asked[0].sampled[-1] == END and (answer.prompt_tokens, answer.completion_tokens) == (7, 3)

    run(scenario)
