from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from r1ray.checks import FormatOnly
from r1ray.environments import tool_world
from r1ray.environments.tool_world import ToolEnvironment
from r1ray.environments.tools.mcp_tools import McpTools
from r1ray.environments.world_context import WorldContext
from r1ray.errors import InfrastructureError, UserError
from r1ray.turns import Action, Observation, ToolCall
from r1ray.types import Prompt

SERVER = str(Path(__file__).with_name("mcp_server.py"))
SDK = (sys.executable, SERVER, "sdk", "stdio")
PROMPT = Prompt(id="1", text="Add.", check=FormatOnly(), domain="math", language="en")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcp.client.stdio.PROCESS_TERMINATION_TIMEOUT", 0.1)


def plain(word: str) -> list[str]:
    return [sys.executable, "-S", SERVER, "plain", word]


def world(word: str, **options: Any) -> ToolEnvironment:
    return tool_world.mcp(command=plain(word), call_timeout_s=30, **options)


async def called(environment: ToolEnvironment, *calls: ToolCall) -> Observation:
    try:
        await environment.reset(PROMPT, 0)
        observation = await environment.step(Action(content="", calls=calls))
        assert isinstance(observation, Observation)
        return observation
    finally:
        await environment.close()


def told(environment: ToolEnvironment, *calls: ToolCall) -> list[str]:
    return [message.content for message in asyncio.run(called(environment, *calls)).messages]


ADD = ToolCall("add", {"a": 1})


def test_results_that_are_no_text_are_named() -> None:
    (result,) = told(world("works"), ADD)
    assert result == "3\n[image/png, 3 bytes, is not shown]\n[notes: file:///notes]\ninside"


def test_arguments_are_checked_by_the_servers_schema() -> None:
    assert told(world("works"), ToolCall("add", {"a": "1"}), ToolCall("add", {}), ToolCall("sub", {})) == [
        "Error: wrong arguments for add: $.a: '1' is not of type 'integer'",
        "Error: wrong arguments for add: 'a' is a required property",
        "Error: there is no tool 'sub'. The tools are: add.",
    ]


def test_what_the_server_refuses_is_told_and_a_flood_is_cut() -> None:
    (refused,) = told(world("refuses"), ADD)
    assert refused == "Error: the arguments are no good"
    (flood,) = told(world("floods"), ADD)
    assert len(flood) < 20_000 and "characters are left out" in flood


def test_a_server_that_hangs_in_a_call_is_told_and_one_that_dies_is_nobodys_reward() -> None:
    hangs = tool_world.mcp(command=plain("hangs_in_call"), call_timeout_s=0.2)
    assert told(hangs, ADD) == ["Error: add gave no answer within 0.2 s"]
    with pytest.raises(InfrastructureError, match="has ended in the middle"):
        told(world("dies_in_call"), ADD)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"command": plain("dies")}, "there is no database"),
        ({"command": plain("silent"), "start_timeout_s": 0.2}, "did not answer"),
        ({"command": plain("no_tools")}, "offers no tools"),
        ({"command": plain("broken_schema")}, "the schema of the tool add"),
        ({"command": plain("works"), "only": ["subtract"]}, "has no subtract, but add"),
        ({"command": ["no-such-program"]}, "does not start"),
    ],
)
def test_a_server_that_cannot_be_used_is_told_before_a_run(options: Any, said: str) -> None:
    with pytest.raises(UserError, match=r"MCP server|mcp") as raised:
        asyncio.run(tool_world.mcp(**options).check())
    assert said in str(raised.value)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"command": ["python"], "url": "http://localhost:1/mcp"},
        {"command": "python server.py"},
        {"command": ["python", ""]},
        {"url": "http://localhost:1/mcp", "start_timeout_s": 0},
    ],
)
def test_options_are_checked(options: Any) -> None:
    with pytest.raises(UserError, match="mcp: "):
        McpTools(**options)


def test_a_number_is_a_word_of_a_command() -> None:
    McpTools(command=["server", "--port", 8000])


def test_trajectories_can_share_a_session() -> None:
    async def use() -> None:
        context, before = WorldContext(), psutil.Process().children()
        worlds = [world("works", shared=True, context=context) for _ in range(8)]
        observations = await asyncio.gather(*(called(each, ADD) for each in worlds))
        assert [each.num_errors for each in observations] == [0] * 8
        children = [each for each in psutil.Process().children() if each not in before]
        assert len(children) == 1
        await context.close()
        assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)

    asyncio.run(use())


@pytest.mark.long
def test_a_server_of_the_sdk_serves_many_calls_and_keeps_what_belongs_to_a_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SECRET_KEY", "secret")

    async def use() -> list[Observation | Any]:
        environment = tool_world.mcp(command=SDK, call_timeout_s=60)
        await environment.reset(PROMPT, 0)
        calls = (
            *(ToolCall("add", {"a": number, "b": 1}) for number in range(20)),
            ToolCall("fail", {"how": "loud"}),
            ToolCall("variables", {}),
            ToolCall("remember", {"word": "one"}),
        )
        first = await environment.step(Action(content="", calls=calls))
        second = await environment.step(Action(content="", calls=(ToolCall("remember", {"word": "two"}),)))
        await environment.close()
        return [first, second]

    first, second = asyncio.run(use())
    contents = [message.content for message in first.messages]
    assert contents[:20] == [str(number + 1) for number in range(20)]
    assert contents[20].startswith("Error: ") and "fail" in contents[20]
    assert "SECRET_KEY" not in json.loads(contents[21])
    assert second.messages[0].content == "one\ntwo"
