"""Sessions with servers that misbehave: they are real processes, and start at once."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from r1ray.environments.tools import mcp_session
from r1ray.environments.tools.mcp_session import Address, McpSession, SharedSession
from r1ray.errors import InfrastructureError, ToolFailed
from r1ray.runtime.leftovers import VARIABLE

SERVER = str(Path(__file__).with_name("mcp_server.py"))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK gives a server two seconds to end by itself."""
    monkeypatch.setattr("mcp.client.stdio.PROCESS_TERMINATION_TIMEOUT", 0.1)


def plain(word: str) -> Address:
    return Address((sys.executable, "-S", SERVER, "plain", word))


def processes(word: str) -> list[int]:
    """Return the processes of a plain server that this process started."""
    children = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    return [child.pid for child in children if child.cmdline()[-2:] == ["plain", word]]


def with_session(word: str, use: Callable[[McpSession], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        session = await McpSession.start(plain(word), timeout_s=60)
        try:
            return await use(session)
        finally:
            await session.close()

    return asyncio.run(run())


def test_what_a_server_answers_comes_back_and_its_process_ends_with_the_session() -> None:
    async def use(session: McpSession) -> list[Any]:
        assert len(processes("works")) == 1
        return [tool.name for tool in session.tools] + [(await session.call("add", {"a": 1})).content[0]]

    name, content = with_session("works", use)
    assert name == "add" and content.text == "3"
    assert processes("works") == []


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (plain("dies"), "there is no database"),
        (Address(("no-such-program",)), "no-such-program"),
        (Address((sys.executable, "-S", SERVER, "unheard_of")), "no such kind"),
        (Address((SERVER,)), "PermissionError"),
        (Address(url="http://127.0.0.1:9/mcp"), "127.0.0.1:9"),
        (Address(url="no address"), "no address"),
    ],
)
def test_a_server_that_does_not_start_is_told_with_what_it_printed(address: Address, said: str) -> None:
    with pytest.raises(InfrastructureError, match="does not start") as raised:
        asyncio.run(McpSession.start(address, timeout_s=60))
    assert said in str(raised.value)


def test_a_server_that_says_nothing_is_given_up_and_ended() -> None:
    began = time.monotonic()
    with pytest.raises(InfrastructureError, match=r"did not answer within 0\.2 s"):
        asyncio.run(McpSession.start(plain("silent"), timeout_s=0.2))
    assert time.monotonic() - began < 60 and processes("silent") == []


def test_lines_that_are_no_messages_are_passed_over() -> None:
    async def use(session: McpSession) -> Any:
        return (await session.call("add", {"a": 1})).content[0]

    assert with_session("garbage", use).text == "3"


def test_a_server_that_dies_in_a_call_is_no_cancellation_and_no_other_call_is_served() -> None:
    async def use(session: McpSession) -> None:
        calls = [session.call("add", {"a": 1}) for _ in range(3)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(result, InfrastructureError) for result in results), results
        assert session.has_ended
        with pytest.raises(InfrastructureError):
            await session.call("add", {"a": 1})

    with_session("dies_in_call", use)


def test_what_a_server_refuses_is_for_the_policy() -> None:
    async def use(session: McpSession) -> None:
        with pytest.raises(ToolFailed, match="no good"):
            await session.call("add", {"a": 1})
        assert not session.has_ended

    with_session("refuses", use)


def test_who_gives_a_call_up_is_cancelled_alone() -> None:
    async def use(session: McpSession) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await session.call("add", {"a": 1})
        assert not session.has_ended

    with_session("hangs_in_call", use)
    assert processes("hangs_in_call") == []


def test_a_server_gets_a_few_variables_and_those_that_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "secret")
    monkeypatch.setenv(VARIABLE, "/tmp/r1run-1")

    async def ask() -> bytes:
        address = Address((sys.executable, "-S", SERVER, "plain", "variables"), env={"OWN": "1"})
        session = await McpSession.start(address, timeout_s=60)
        (pid,) = processes("variables")
        variables = Path(f"/proc/{pid}/environ").read_bytes()
        await session.close()
        return variables

    variables = asyncio.run(ask()).split(b"\0")
    assert b"OWN=1" in variables and f"{VARIABLE}=/tmp/r1run-1".encode() in variables
    assert b"SECRET_KEY=secret" not in variables and f"PATH={os.environ['PATH']}".encode() in variables


def test_a_shared_session_is_started_once_and_anew_after_its_end() -> None:
    async def share() -> None:
        shared = SharedSession(plain("works"))
        first, second = await asyncio.gather(shared.lease(timeout_s=60), shared.lease(timeout_s=60))
        assert first is second and len(processes("works")) == 1
        await shared.give_back(first)
        assert not second.has_ended
        os.kill(processes("works")[0], 9)
        with pytest.raises(InfrastructureError):
            await second.call("add", {"a": 1})
        third = await shared.lease(timeout_s=60)
        assert third is not second and (await third.call("add", {"a": 1})).content
        await shared.give_back(second)
        await shared.give_back(third)
        assert not third.has_ended
        await third.close()

    asyncio.run(share())


def test_a_shared_session_whose_server_hangs_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("r1ray.environments.tools.mcp_session.PING_S", 0.2)

    async def share() -> None:
        shared = SharedSession(plain("hangs_in_call"))
        first = await shared.lease(timeout_s=60)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await first.call("add", {"a": 1})
        second = await shared.lease(timeout_s=60)
        assert second is not first
        await shared.give_back(first)
        assert first.has_ended
        await second.close()

    asyncio.run(share())


@pytest.mark.long
def test_over_http_the_same_holds_and_a_death_is_no_cancellation() -> None:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, SERVER, "sdk", "http", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            asyncio.run(_use_http(Address(url=f"http://127.0.0.1:{port}/mcp")))
        finally:
            server.kill()


async def _use_http(address: Address) -> None:
    async with asyncio.timeout(120):
        while True:
            try:
                session = await McpSession.start(address, timeout_s=60)
                break
            except InfrastructureError:
                await asyncio.sleep(0.5)
    results = await asyncio.gather(*(session.call("add", {"a": number}) for number in range(20)))
    assert [result.content[0].text for result in results] == [str(number + 1) for number in range(20)]  # type: ignore[union-attr]
    with pytest.raises(InfrastructureError):
        await session.call("fail", {"how": "die"})
    with pytest.raises(InfrastructureError):
        await session.call("add", {"a": 1})
    await session.close()


def test_text_where_messages_belong_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logging.getLogger("mcp.client.stdio"), "filters", [mcp_session.InShort()])
    chatty = Address((sys.executable, "-S", "-c", "print('loading', flush=True); print('ready')"))
    with pytest.raises(InfrastructureError, match="does not start"):
        asyncio.run(McpSession.start(chatty, timeout_s=30))
    (record,) = [each for each in caplog.records if each.name == "mcp.client.stdio"]
    assert "printed 'loading' to its standard output" in record.getMessage() and record.exc_info is None
