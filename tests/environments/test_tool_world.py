from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from r1ray.checks import FormatOnly
from r1ray.config import EnvironmentConfig
from r1ray.environments import tool_world
from r1ray.environments.registry import source_of
from r1ray.environments.tool_world import ToolEnvironment
from r1ray.environments.worker import EnvironmentWorker
from r1ray.environments.world_context import WorldContext
from r1ray.errors import UserError
from r1ray.turns import Action, Done, Message, Observation, ToolCall
from r1ray.types import Prompt

HERE = "tests.environments.tools.own_tools"
PROMPT = Prompt(id="1", text="What is 2 + 3?", check=FormatOnly(), domain="math", language="en")


def turn(*calls: ToolCall, content: str = "") -> Action:
    return Action(content=content, calls=calls)


async def play(world: ToolEnvironment, *actions: Action) -> list[Observation | Done]:
    """Return what a world says in each turn."""
    said: list[Observation | Done] = [await world.reset(PROMPT, 0)]
    for action in actions:
        said.append(await world.step(action))
    await world.close()
    return said


def test_it_offers_tools_serves_calls_and_ends_at_a_turn_without() -> None:
    world = ToolEnvironment(tools=["calculator", f"{HERE}:pay"])
    calls = (ToolCall("calculator", {"expression": "2+3"}, id="a"), ToolCall("pay", {"amount": 0.5}))
    first, second, third, last = asyncio.run(
        play(world, turn(*calls), turn(ToolCall("calculater", {})), turn(content="It is 5."))
    )
    assert isinstance(first, Observation) and first.messages == (Message("user", "What is 2 + 3?"),)
    assert [tool["function"]["name"] for tool in first.tools] == ["calculator", "pay"]
    assert second == Observation(
        messages=(Message("tool", "5", tool="calculator", call_id="a"), Message("tool", "paid 0.5", tool="pay")),
        rewards={"paid": 0.5},
    )
    assert isinstance(third, Observation) and third.num_errors == 1
    assert last == Done(rewards={"tool_calls": 2.0, "tool_errors": 1.0}, label="answered")


def test_the_conversation_is_the_prompts_where_it_has_one() -> None:
    messages = (Message("system", "Be brief."), Message("user", "Hello"))
    observation = asyncio.run(tool_world.calculator().reset(replace(PROMPT, messages=messages), 0))
    assert observation.messages == messages


def test_a_tool_of_a_class_remembers_for_one_trajectory_alone() -> None:
    def counted() -> str:
        world = ToolEnvironment(tools=[{"name": f"{HERE}:Counter", "start": 5}])
        said = asyncio.run(play(world, turn(ToolCall("count", {})), turn(ToolCall("count", {}))))
        assert isinstance(said[2], Observation)
        return said[2].messages[0].content

    assert (counted(), counted()) == ("7", "7")


def test_a_set_of_tools_is_opened_and_its_names_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    world = ToolEnvironment(tools=[f"{HERE}:Pair"])
    with pytest.raises(UserError, match="two are called count"):
        asyncio.run(world.check())
    monkeypatch.setenv("ONE", "1")
    asyncio.run(world.check())


def test_limits_are_checked_and_a_call_ends_before_the_turn_does() -> None:
    context = WorldContext(step_timeout_s=10.0)
    for options in ({"call_timeout_s": 0}, {"call_timeout_s": 10}, {"max_result_chars": 5}):
        limits: Any = options
        with pytest.raises(UserError, match=next(iter(options))):
            ToolEnvironment(tools=["calculator"], context=context, **limits)
    world = ToolEnvironment(tools=[f"{HERE}:wait"], context=WorldContext(step_timeout_s=0.2))
    said = asyncio.run(play(world, turn(ToolCall("wait", {"seconds": 30}))))
    assert isinstance(said[1], Observation) and "no answer within 0.1 s" in said[1].messages[0].content


def test_many_worlds_at_once_serve_their_calls() -> None:
    async def all_at_once() -> list[list[Observation | Done]]:
        call = turn(ToolCall("calculator", {"expression": "2+3"}), ToolCall("wait", {"seconds": 0.01}))
        worlds = [ToolEnvironment(tools=["calculator", f"{HERE}:wait"]) for _ in range(64)]
        return await asyncio.gather(*(play(world, call, call, turn(content="5")) for world in worlds))

    for said in asyncio.run(all_at_once()):
        assert isinstance(said[-1], Done) and said[-1].rewards == {"tool_calls": 4.0, "tool_errors": 0.0}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tools": ["calculater"]}, "environment own: tools: found 'calculater'; needs one of calculator, "),
        ({"tools": [f"{HERE}:untyped"]}, "environment own: tool untyped, parameter a: has no type"),
        (
            {"tools": [{"name": "mcp", "command": ["no-such-program"]}]},
            "environment own: the MCP server no-such-program",
        ),
    ],
)
def test_what_is_wrong_with_a_tool_is_told_with_the_environment_before_a_run(options: Any, said: str) -> None:
    config = EnvironmentConfig(worlds={"own": {"path": "tools", "options": options}})
    worker = EnvironmentWorker(config, {"own": source_of("own", config)})
    with pytest.raises(UserError) as raised:
        asyncio.run(worker.try_out([replace(PROMPT, environment="own")]))
    assert str(raised.value).startswith(said)
