"""The world ``python`` in an environment worker: a session for each trajectory, opened, kept and closed with it."""

from __future__ import annotations

import asyncio
import os

import pytest

from r1ray.checks import FormatOnly
from r1ray.config import EnvironmentConfig, SandboxConfig
from r1ray.environments.registry import source_of
from r1ray.environments.worker import EnvironmentWorker
from r1ray.errors import EnvironmentLost
from r1ray.turns import Action, Done, Message, Observation, ToolCall
from r1ray.types import Prompt
from tests.sandbox.outside import tree_of

pytestmark = pytest.mark.needs("isolation")

PROMPT = Prompt(
    id="1", text="", check=FormatOnly(), domain="math", language="en", environment="python",
    messages=(Message("user", "What is 6 * 7?"),),
)  # fmt: skip


def made() -> EnvironmentWorker:
    config = EnvironmentConfig()
    return EnvironmentWorker(config, {"python": source_of("python", config)}, SandboxConfig())


def turn(*cells: str) -> Action:
    return Action(content="", calls=tuple(ToolCall("python", {"code": code}) for code in cells))


def told(answer: Observation | Done) -> list[str]:
    assert isinstance(answer, Observation)
    return [message.content for message in answer.messages]


def test_a_trajectory_has_a_session_and_nothing_is_left_of_it() -> None:
    async def scenario() -> tuple[list[str], list[str], Done | Observation]:
        worker = made()
        begun = await worker.try_out([PROMPT])
        assert [tool["function"]["name"] for tool in begun["python"].tools] == ["python"]
        await worker.enter("a", PROMPT, 0)
        first = told(await worker.step("a", turn("x = 6", "x * 7")))
        second = told(await worker.step("a", turn("import os\nos._exit(0)")))
        last = await worker.step("a", Action(content="42"))
        await worker.close()
        return first, second, last

    before = set(tree_of(os.getpid()))
    first, second, last = asyncio.run(scenario())
    assert first == ["[no output]", "42"]
    assert second[0].startswith("Error: [The session has ended: its process ended (exit code 0).")
    assert last == Done(rewards={"tool_calls": 2.0, "tool_errors": 1.0}, label="answered")
    assert set(tree_of(os.getpid())) <= before


def test_a_trajectory_that_is_aborted_ends_its_session_whatever_that_does() -> None:
    async def scenario() -> None:
        worker = made()
        await worker.enter("a", PROMPT, 0)
        step = asyncio.create_task(worker.step("a", turn("import time\ntime.sleep(60)")))
        await asyncio.sleep(1.0)
        await worker.leave("a")
        with pytest.raises(EnvironmentLost):
            await step
        await worker.close()

    before = set(tree_of(os.getpid()))
    asyncio.run(scenario())
    assert set(tree_of(os.getpid())) <= before


@pytest.mark.long
def test_256_environments_are_right_at_once() -> None:
    async def one(worker: EnvironmentWorker, number: int) -> list[str]:
        name = str(number)
        await worker.enter(name, PROMPT, number)
        found = []
        for code in (f"x = {number}", "x += 1\nx", "x * 2"):
            found += told(await worker.step(name, turn(code)))
        await worker.leave(name)
        return found

    async def scenario() -> list[list[str]]:
        worker = made()
        found = await asyncio.gather(*(one(worker, number) for number in range(256)))
        await worker.close()
        return found

    found = asyncio.run(scenario())
    assert found == [["[no output]", str(number + 1), str(2 * number + 2)] for number in range(256)]
