from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from r1ray.checks import FormatOnly
from r1ray.environments import openenv
from r1ray.environments.openenv import OpenEnv
from r1ray.environments.world_context import WorldContext
from r1ray.errors import InfrastructureError, UserError
from r1ray.turns import Action, Done, Message, Observation, ToolCall
from r1ray.types import Prompt

PROMPT = Prompt(id="1", text="Count to three.", check=FormatOnly(), domain="math", language="en")
ACTION = {
    "title": "CountAction",
    "description": "Count on.",
    "type": "object",
    "properties": {
        "by": {"title": "By", "type": "integer"},
        "metadata": {"type": "object", "additionalProperties": True},
    },
    "required": ["by"],
}


class Server:
    """A server that counts, and misbehaves as it is told."""

    def __init__(self, how: str = "") -> None:
        self.how, self.num_open = how, 0
        self.seeds: list[int] = []
        self.url = ""

    async def answer(self, connection: ServerConnection) -> None:
        count = 0
        self.num_open += 1
        try:
            async for text in connection:
                message = json.loads(text)
                if message["type"] == "reset":
                    self.seeds.append(message["data"]["seed"])
                    count = 0
                    await connection.send(self.observation(count, None))
                elif self.how == "dies":
                    await connection.close(1011)
                elif self.how == "silent":
                    await asyncio.sleep(1)
                elif self.how.startswith("slowly "):
                    await asyncio.sleep(0.1)
                    await connection.send(self.how.removeprefix("slowly "))
                elif self.how:
                    await connection.send(self.how)
                else:
                    count += message["data"]["by"]
                    await connection.send(self.observation(count, 0.5))
        finally:
            self.num_open -= 1

    def observation(self, count: int, reward: float | None) -> str:
        data = {"observation": {"count": count}, "reward": reward, "done": count >= 3}
        return json.dumps({"type": "observation", "data": data})

    def page(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path != "/schema":
            return None
        return connection.respond(200, json.dumps({"action": ACTION, "observation": {}}))


def with_server(use: Callable[[Server], Awaitable[Any]], how: str = "") -> Any:
    async def run() -> Any:
        server = Server(how)
        async with serve(server.answer, "127.0.0.1", 0, process_request=server.page) as serving:
            server.url = f"http://127.0.0.1:{serving.sockets[0].getsockname()[1]}"
            return await use(server)

    openenv._schemas.clear()
    return asyncio.run(run())


def act(by: Any, **more: Any) -> ToolCall:
    return ToolCall("act", {"by": by}, **more)


def turn(*calls: ToolCall) -> Action:
    return Action(content="", calls=calls)


def test_a_policy_acts_by_calls_until_the_server_is_done() -> None:
    async def use(server: Server) -> list[Observation | Done]:
        world = OpenEnv(url=server.url)
        said: list[Observation | Done] = [await world.reset(PROMPT, 7)]
        said.append(await world.step(turn(act(1, id="a"))))
        said.append(await world.step(turn(act(1), act(1), act(1))))
        await world.close()
        assert server.seeds == [7]
        await asyncio.sleep(0.05)
        assert server.num_open == 0
        return said

    first, second, last = with_server(use)
    assert first.messages == (Message("user", 'Count to three.\n\n{"count":0}'),)
    parameters = {"type": "object", "properties": {"by": {"type": "integer"}}, "required": ["by"]}
    function = {"name": "act", "description": "Count on.", "parameters": parameters}
    assert first.tools == ({"type": "function", "function": function},)
    told = (Message("tool", '{"count":1}', tool="act", call_id="a"),)
    assert second == Observation(messages=told, rewards={"openenv": 0.5})
    assert last == Done(turn_rewards={"openenv": 1.0}, label="done", detail='{"count":3}')


def test_a_turn_without_a_call_ends_it_and_wrong_calls_are_told() -> None:
    async def use(server: Server) -> tuple[Any, Any]:
        world = OpenEnv(url=server.url)
        await world.reset(PROMPT, 0)
        calls = (act("1"), ToolCall("jump", {}), act(1, problem="unclosed"), act(1))
        wrong, end = await world.step(turn(*calls)), await world.step(turn())
        await world.close()
        return wrong, end

    wrong, end = with_server(use)
    assert [message.content for message in wrong.messages] == [
        "Error: wrong arguments for act: $.by: '1' is not of type 'integer'",
        "Error: there is no tool 'jump'. The tools are: act.",
        "Error: unclosed",
        '{"count":1}',
    ]
    assert wrong.num_errors == 3 and end == Done(label="stopped")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("dies", "ended the session in step"),
        ("silent", "gave no answer to step within 0.2 s"),
        ("not JSON", "something that is not a message"),
        ("[" * 100_000, "something that is not a message"),
        ("[]", "something that is not a message"),
        ('{"type": "observation", "data": 3}', "with observation: 3"),
        ('{"type": "error", "data": {"code": "EXECUTION_ERROR", "message": "no disk"}}', "no disk"),
    ],
    ids=lambda value: value[:30],
)
def test_a_failure_of_the_server_is_nobodys_reward(how: str, said: str) -> None:
    async def use(server: Server) -> None:
        world = OpenEnv(url=server.url, timeout_s=0.2 if how == "silent" else 30)
        await world.reset(PROMPT, 0)
        with pytest.raises(InfrastructureError, match="the OpenEnv server at") as raised:
            await world.step(turn(act(1)))
        assert said in str(raised.value) and len(str(raised.value)) < 500
        await world.close()

    began = time.monotonic()
    with_server(use, how)
    assert time.monotonic() - began < 30


def test_an_action_that_the_server_refuses_is_told() -> None:
    async def use(server: Server) -> Any:
        world = OpenEnv(url=server.url)
        await world.reset(PROMPT, 0)
        said = await world.step(turn(act(1)))
        await world.close()
        return said

    said = with_server(use, '{"type": "error", "data": {"code": "VALIDATION_ERROR", "message": "by is below 2"}}')
    assert said.messages[0].content == "Error: the action is no good: by is below 2" and said.num_errors == 1


def test_a_turn_of_many_actions_ends_in_time() -> None:
    async def use(server: Server) -> Any:
        world = OpenEnv(url=server.url, timeout_s=0.3)
        await world.reset(PROMPT, 0)
        said = await world.step(turn(*[act(0)] * 64))
        await world.close()
        return said

    answer = json.dumps({"type": "observation", "data": {"observation": {}, "reward": 0, "done": False}})
    said = with_server(use, f"slowly {answer}")
    assert said.messages[0].content == "{}"
    assert said.messages[-1].content == "Error: the calls of a turn have to begin within 0.3 s"


def test_sessions_are_apart() -> None:
    async def one(url: str, by: int) -> str:
        world = OpenEnv(url=url)
        await world.reset(PROMPT, by)
        said = await world.step(turn(act(by)))
        await world.close()
        assert isinstance(said, Observation)
        return said.messages[0].content

    async def use(server: Server) -> list[str]:
        return await asyncio.gather(*(one(server.url, by) for by in (1, 2) * 16))

    assert with_server(use) == ['{"count":1}', '{"count":2}'] * 16


def test_what_is_wrong_is_told_before_a_run() -> None:
    async def use(server: Server) -> None:
        await OpenEnv(url=server.url).check()
        await OpenEnv(url=f"{server.url.replace('http', 'ws')}/ws").check()

    with_server(use)
    with pytest.raises(UserError, match=r"OpenEnv server at 127\.0\.0\.1:9 does not answer"):
        asyncio.run(OpenEnv(url="http://127.0.0.1:9", timeout_s=5).check())
    wrong: list[dict[str, Any]] = [
        {"url": "here"},
        {"url": "ftp://host"},
        {"url": "http://host", "timeout_s": 0},
        {"url": "http://host", "timeout_s": 31, "context": WorldContext(step_timeout_s=60)},
    ]
    for options in wrong:
        with pytest.raises(UserError, match="openenv"):
            OpenEnv(**options)
