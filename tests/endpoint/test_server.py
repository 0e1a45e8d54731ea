"""The server over loopback: paths, keys, bodies, streams, and clients that go away."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest
from openai import AuthenticationError, BadRequestError, NotFoundError

from r1ray.endpoint import server
from r1ray.endpoint.answers import Answer
from r1ray.endpoint.chat_call import ChatCall
from r1ray.endpoint.messages import SaidCall
from r1ray.endpoint.refusals import Refused
from r1ray.endpoint.server import Endpoint
from r1ray.errors import InfrastructureError
from r1ray.turns import Access
from tests.rollout.agents import client_of

CALL: Any = {"model": "policy", "messages": [{"role": "user", "content": "go"}]}
ANSWER = Answer(
    content="so",
    calls=(SaidCall("call_1", "add", '{"x": 1}'),),
    reason="tool_calls",
    prompt_tokens=3,
    completion_tokens=2,
)


class Line:
    """Answers by a function; notes what was refused, and what was cancelled."""

    def __init__(self, answers: Callable[[ChatCall], Answer | Coroutine[Any, Any, Answer]]) -> None:
        self._answers = answers
        self.asked, self.refused, self.cancelled = list[ChatCall](), list[str](), 0

    async def answer(self, call: ChatCall) -> Answer:
        self.asked.append(call)
        found = self._answers(call)
        try:
            return found if isinstance(found, Answer) else await found
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    def note_refusal(self, code: str) -> None:
        self.refused.append(code)


def served(
    scenario: Callable[[Endpoint, Access, Line], Coroutine[Any, Any, None]],
    answers: Callable[[ChatCall], Answer | Coroutine[Any, Any, Answer]] = lambda call: ANSWER,
) -> None:
    async def run() -> None:
        endpoint, line = Endpoint("127.0.0.1"), Line(answers)
        try:
            await scenario(endpoint, await endpoint.open(line), line)
        finally:
            await endpoint.stop()

    asyncio.run(asyncio.wait_for(run(), 30))


async def post(access: Access, content: bytes, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(verify=False) as client:
        sent = {"Authorization": f"Bearer {access.api_key}"} | headers
        return await client.post(f"{access.base_url}/chat/completions", content=content, headers=sent)


def test_the_openai_client_reads_an_answer_whole_and_in_a_stream() -> None:
    async def scenario(endpoint: Endpoint, access: Access, line: Line) -> None:
        async with client_of(access) as client:
            assert [each.id for each in (await client.models.list()).data] == [access.model]
            settings: Any = CALL | {"tools": [{"type": "function", "function": {"name": "add"}}]}
            whole = await client.chat.completions.create(**settings)
            (choice,) = whole.choices
            assert choice.message.content == "so" and choice.finish_reason == "tool_calls"
            assert [each.function.arguments for each in choice.message.tool_calls] == ['{"x": 1}']
            assert whole.usage.total_tokens == 5
            stream = await client.chat.completions.create(
                **settings, stream=True, stream_options={"include_usage": True}
            )
            chunks = [each async for each in stream]
            deltas = [each.choices[0].delta for each in chunks if each.choices]
            assert "".join(each.content or "" for each in deltas) == "so"
            assert [call.index for each in deltas for call in each.tool_calls or []] == [0]
            assert [each.choices[0].finish_reason for each in chunks if each.choices] == [None, "tool_calls"]
            assert chunks[-1].usage.completion_tokens == 2 and not chunks[-1].choices
            async with client.chat.completions.stream(**settings) as events:
                assert (await events.get_final_completion()).choices[0].message.tool_calls
        assert [each.streams for each in line.asked] == [False, True, True]

    served(scenario)


def test_a_key_that_is_unknown_or_has_ended_learns_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PAUSE_S", 0.0)

    async def scenario(endpoint: Endpoint, access: Access, line: Line) -> None:
        other = await endpoint.open(Line(lambda call: ANSWER))
        assert other.api_key != access.api_key and access.api_key not in repr(access)
        for sent in ("Bearer wrong", "Bearer", f"Bearer {access.api_key[:-1]}", f"Basic {access.api_key}"):
            assert (await post(access, b"{" * 99, Authorization=sent)).status_code == 401
        endpoint.close(access)
        async with client_of(access) as client:
            for call in (client.models.list(), client.chat.completions.create(**CALL)):
                with pytest.raises(AuthenticationError, match="unknown, or its trajectory has ended"):
                    await call
        assert (await post(other, json.dumps(CALL).encode())).status_code == 200
        assert not line.asked and not line.refused

    served(scenario)


def test_a_client_in_a_loop_is_told_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PATIENCE", 3)

    async def scenario(endpoint: Endpoint, access: Access, line: Line) -> None:
        begun = time.monotonic()
        for _ in range(4):
            assert (await post(access, b"{")).status_code == 400
        assert time.monotonic() - begun >= server.PAUSE_S and len(line.refused) == 4
        assert (await post(access, json.dumps(CALL).encode())).status_code == 200

    served(scenario)


def test_two_paths_are_served_and_nothing_else() -> None:
    async def scenario(endpoint: Endpoint, access: Access, line: Line) -> None:
        root, headers = access.base_url.removesuffix("/v1"), {"Authorization": f"Bearer {access.api_key}"}
        async with httpx.AsyncClient(headers=headers, verify=False) as client:
            paths = ("/", "/v1", "/v1/", "/docs", "/openapi.json", "/metrics", "/tokenize", "/v1/completions")
            for path in (*paths, "/v1/chat/completions/", "/v1/models/policy", "/v1/../v1/chat", "/v1/responses"):
                for method in ("GET", "POST", "DELETE"):
                    found = await client.request(method, root + path)
                    assert found.status_code == 404 and found.json()["error"]["code"] == "not_found", path
            assert (await client.get(f"{root}/v1/chat/completions")).status_code == 405
            assert (await client.post(f"{root}/v1/models")).json()["error"]["code"] == "not_allowed"
            assert (await client.get(f"{root}/v1/models", headers={"Host": "elsewhere"})).status_code == 200

    served(scenario)


def test_a_body_without_end_is_refused_before_it_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_BODY_BYTES", 1000)

    async def scenario(endpoint: Endpoint, access: Access, line: Line) -> None:
        found = await post(access, json.dumps(CALL | {"user": "x" * 2000}).encode())
        assert found.status_code == 413 and found.json()["error"]["code"] == "too_large"
        assert (await post(access, json.dumps(CALL).encode())).status_code == 200
        assert line.refused == ["too_large"] and len(line.asked) == 1

    served(scenario)


def test_refusals_are_told_in_openais_form_and_counted() -> None:
    def refuses(call: ChatCall) -> Answer:
        raise Refused(429, "too_many_at_once", "Later.", is_worth_retrying=True)

    async def scenario(endpoint: Endpoint, access: Access, line: Line) -> None:
        async with client_of(access) as client:
            settings: Any = CALL
            with pytest.raises(BadRequestError, match="n=2: what the policy samples") as caught:
                await client.chat.completions.create(**settings, n=2)
            assert (caught.value.param, caught.value.code) == ("n", "constrained_sampling")
            assert caught.value.response.headers["x-should-retry"] == "false"
            with pytest.raises(NotFoundError, match="there is policy alone"):
                await client.chat.completions.create(**(settings | {"model": "gpt-4o"}))
        found = await post(access, json.dumps(CALL).encode())
        assert found.status_code == 429 and found.headers["x-should-retry"] == "true"
        assert line.refused == ["constrained_sampling", "model_not_found", "too_many_at_once"]

    served(scenario, refuses)


def test_a_call_that_fails_is_a_500_and_counted() -> None:
    def fails(call: ChatCall) -> Answer:
        raise KeyError("not shown to clients")

    async def scenario(endpoint: Endpoint, access: Access, line: Line) -> None:
        found = await post(access, json.dumps(CALL).encode())
        assert found.status_code == 500 and "not shown" not in found.text and line.refused == ["internal_error"]

    served(scenario, fails)


def test_a_call_whose_client_goes_away_is_cancelled() -> None:
    begun = asyncio.Event()

    async def never() -> Answer:
        begun.set()
        await asyncio.sleep(60)
        raise AssertionError

    async def scenario(endpoint: Endpoint, access: Access, line: Line) -> None:
        call = asyncio.create_task(post(access, json.dumps(CALL).encode()))
        await begun.wait()
        call.cancel()
        while not line.cancelled:
            await asyncio.sleep(0.01)
        assert not line.refused

    served(scenario, lambda call: never())


def test_a_process_that_ends_amid_calls_does_so_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    begun = asyncio.Event()

    async def never() -> Answer:
        begun.set()
        await asyncio.sleep(60)
        raise AssertionError

    async def ends() -> None:
        access = await Endpoint("127.0.0.1").open(Line(lambda call: never()))
        call = asyncio.create_task(post(access, json.dumps(CALL).encode()))
        await begun.wait()
        assert not call.done()

    asyncio.run(ends())
    assert [each.message for each in caplog.records if each.levelname == "ERROR"] == []


def test_an_answer_with_half_a_character_travels() -> None:
    async def scenario(endpoint: Endpoint, access: Access, line: Line) -> None:
        assert "\\ud800" in (await post(access, json.dumps(CALL).encode())).text

    served(scenario, lambda call: Answer(content="\ud800", prompt_tokens=1, completion_tokens=1))


def test_an_address_that_is_not_this_machines_is_said() -> None:
    async def open_there() -> None:
        await Endpoint("192.0.2.1").open(Line(lambda call: ANSWER))

    with pytest.raises(
        InfrastructureError, match=r"cannot listen on 192\.0\.2\.1, the address of this node as Ray knows"
    ):
        asyncio.run(open_there())
