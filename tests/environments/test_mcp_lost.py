"""An MCP server is killed, or stopped, while an environment worker has sessions with it: rows of the fault table."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from r1ray.checks import FormatOnly
from r1ray.config import EnvironmentConfig
from r1ray.environments.registry import source_of
from r1ray.environments.worker import EnvironmentWorker
from r1ray.errors import InfrastructureError
from r1ray.turns import Action, Message, Observation, ToolCall
from r1ray.types import Prompt

pytestmark = [pytest.mark.faults, pytest.mark.long]
SERVER = str(Path(__file__).parent / "tools/mcp_server.py")
CALL = Action(content="", calls=(ToolCall("add", {"a": 1}),))
FAULTS = pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP], ids=["SIGKILL", "SIGSTOP"])


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK gives a server two seconds to end by itself, and two more after SIGTERM."""
    monkeypatch.setattr("mcp.client.stdio.PROCESS_TERMINATION_TIMEOUT", 0.1)
    monkeypatch.setattr("mcp.client.stdio.FORCE_KILL_TIMEOUT", 0.1)
    monkeypatch.setattr("r1ray.environments.tools.mcp_session.PING_S", 1.0)


def prompt(name: str) -> Prompt:
    return Prompt(
        id="1",
        text="",
        check=FormatOnly(),
        domain="math",
        language="en",
        environment=name,
        messages=(Message("user", "Add."),),
    )


def servers(word: str) -> list[int]:
    """Return the servers of this process that run."""
    children = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    return [child.pid for child in children if child.cmdline()[-2:] == ["plain", word]]


async def until_one(word: str) -> int:
    """Return the server once it is there."""
    async with asyncio.timeout(60):
        while not (found := servers(word)):
            await asyncio.sleep(0.01)
    return found[0]


def with_worker(use: Callable[[EnvironmentWorker], Awaitable[None]], **options: Any) -> None:
    """Have a worker with the environments ``works``, ``hangs_in_call`` and ``silent``; no server is left after it."""
    worlds = {
        word: {
            "path": "mcp",
            "options": {"command": [sys.executable, "-S", SERVER, "plain", word], "call_timeout_s": 1.0, **options},
        }
        for word in ("works", "hangs_in_call", "silent")
    }
    config = EnvironmentConfig(worlds=worlds)

    async def run() -> None:
        worker = EnvironmentWorker(config, {word: source_of(word, config) for word in worlds})
        try:
            await use(worker)
        finally:
            await worker.close()

    asyncio.run(run())
    assert [word for word in worlds if servers(word)] == []


async def still_serves(worker: EnvironmentWorker) -> None:
    """Check that the trajectory begins again, and that another one goes on."""
    await worker.enter("again", prompt("works"), 0)
    for world in ("again", "beside"):
        said = await worker.step(world, CALL)
        assert isinstance(said, Observation) and said.messages[0].content.startswith("3") and said.num_errors == 0


@FAULTS
def test_between_two_calls(fault: signal.Signals) -> None:
    async def use(worker: EnvironmentWorker) -> None:
        await worker.enter("lost", prompt("works"), 0)
        os.kill(await until_one("works"), fault)
        await worker.enter("beside", prompt("works"), 0)
        await _lose(worker, fault)
        await still_serves(worker)

    with_worker(use)


@FAULTS
def test_in_a_call(fault: signal.Signals) -> None:
    async def use(worker: EnvironmentWorker) -> None:
        await worker.enter("beside", prompt("works"), 0)
        await worker.enter("lost", prompt("hangs_in_call"), 0)
        losing = asyncio.ensure_future(_lose(worker, fault))
        await asyncio.sleep(0.2)
        os.kill(await until_one("hangs_in_call"), fault)
        await losing
        await still_serves(worker)

    with_worker(use)


async def _lose(worker: EnvironmentWorker, fault: signal.Signals) -> None:
    """Check what becomes of a trajectory: a death is nobody's fault, a silence is told to the policy and counted."""
    if fault == signal.SIGKILL:
        with pytest.raises(InfrastructureError, match="has ended"):
            await worker.step("lost", CALL)
    else:
        said = await worker.step("lost", CALL)
        assert isinstance(said, Observation) and said.num_errors == 1
        assert said.messages[0].content == "Error: add gave no answer within 1 s"


@FAULTS
def test_while_it_starts(fault: signal.Signals) -> None:
    async def use(worker: EnvironmentWorker) -> None:
        await worker.enter("beside", prompt("works"), 0)
        entering = asyncio.ensure_future(worker.enter("lost", prompt("silent"), 0))
        os.kill(await until_one("silent"), fault)
        with pytest.raises(InfrastructureError, match="does not start" if fault == signal.SIGKILL else "not answer"):
            await entering
        await still_serves(worker)

    with_worker(use, start_timeout_s=5)


def test_a_trajectory_that_is_aborted_leaves_no_server() -> None:
    async def use(worker: EnvironmentWorker) -> None:
        entering = asyncio.ensure_future(worker.enter("a", prompt("silent"), 0))
        await until_one("silent")
        entering.cancel()
        await worker.enter("b", prompt("hangs_in_call"), 0)
        stepping = asyncio.ensure_future(worker.step("b", CALL))
        await asyncio.sleep(0.1)
        await worker.leave("b")
        await asyncio.gather(entering, stepping, return_exceptions=True)

    with_worker(use)


@FAULTS
def test_a_shared_one_is_started_anew(fault: signal.Signals) -> None:
    async def use(worker: EnvironmentWorker) -> None:
        await worker.enter("lost", prompt("works"), 0)
        os.kill(await until_one("works"), fault)
        await _lose(worker, fault)
        await worker.enter("beside", prompt("works"), 0)
        await still_serves(worker)
        assert len(servers("works")) == (1 if fault == signal.SIGKILL else 2)

    with_worker(use, shared=True)
