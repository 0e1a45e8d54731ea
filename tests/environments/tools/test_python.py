"""The code interpreter: one session for each trajectory, and the policy is told what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import pytest

from r1ray.config import SandboxConfig
from r1ray.environments.tools.python import CALL_S, Interpreter, Python
from r1ray.environments.world_context import WorldContext
from r1ray.errors import InfrastructureError, ToolFailed, UserError

pytestmark = pytest.mark.needs("isolation")

T = TypeVar("T")


@pytest.fixture(scope="module")
def worker() -> Iterator[WorldContext]:
    made = WorldContext(sandbox=SandboxConfig(cpu_s=0.4, total_cpu_s=20.0))
    yield made
    asyncio.run(made.close())


def with_tool(worker: WorldContext, work: Callable[[Python], Awaitable[T]], **options: Any) -> T:
    async def scenario() -> T:
        tool = Python(context=worker, **options)
        try:
            return await work(tool)
        finally:
            await tool.close()

    return asyncio.run(scenario())


async def called(tool: Python, *cells: str) -> list[str]:
    """Return what the policy is told of each call, with ``Error:`` before what counts as one."""
    found = []
    for code in cells:
        try:
            found.append(await tool.call({"code": code}))
        except ToolFailed as error:
            found.append(f"Error: {error}")
    return found


def test_state_is_kept_between_the_calls_of_a_trajectory_and_not_between_two(worker: WorldContext) -> None:
    first = with_tool(worker, lambda tool: called(tool, "x = 20 * 2", "x + 2"))
    second = with_tool(worker, lambda tool: called(tool, "x"))
    assert first == ["[no output]", "42"]
    assert second[0].endswith("NameError: name 'x' is not defined")


def test_a_traceback_is_a_result_and_no_error_of_the_tool(worker: WorldContext) -> None:
    (told,) = with_tool(worker, lambda tool: called(tool, "1 / 0"))
    assert told.startswith("Traceback") and told.endswith("ZeroDivisionError: division by zero")


def test_a_call_whose_time_is_up_counts_and_the_state_is_kept(worker: WorldContext) -> None:
    _, busy, after = with_tool(worker, lambda tool: called(tool, "x = 1", "print('a')\nwhile True: pass", "x"))
    assert busy.startswith("Error: a\nTraceback") and after == "1"
    assert busy.endswith("[The code had computed for 0.4 s and was interrupted. What it had defined is kept.]")


def test_a_call_that_ends_its_session_is_told_so_and_the_next_begins_another(worker: WorldContext) -> None:
    _, ended, after = with_tool(worker, lambda tool: called(tool, "x = 1", "import os\nos._exit(3)", "'x' in vars()"))
    assert ended == (
        "Error: [The session has ended: its process ended (exit code 3). Variables, imports and files are gone.]"
    )
    assert after == "False"


def test_a_session_that_was_closed_for_others_is_told_so_and_is_no_error(worker: WorldContext) -> None:
    async def scenario() -> list[str]:
        first, second = (Python(max_idle=1, context=worker) for _ in range(2))
        await called(first, "x = 1")
        await called(second, "x = 2")
        found = await called(first, "x", "x = 3", "x")
        await first.close()
        await second.close()
        return found

    closed, again, after = asyncio.run(scenario())
    assert closed.startswith("[The session has ended: it had been idle for longest") and "was not run" in closed
    assert (again, after) == ("[no output]", "3")


def test_a_call_that_nobody_waited_for_is_told_at_the_next_one(worker: WorldContext) -> None:
    async def work(tool: Python) -> list[str]:
        await called(tool, "x = 1")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(tool.call({"code": "import time\ntime.sleep(60)"}), 0.2)
        return await called(tool, "x", "'x' in vars()")

    gone, after = with_tool(worker, work)
    assert gone == (
        "[The session has ended: a cell took too long, and nobody waited for it any more. The code of this call was "
        "not run. Variables, imports and files are gone.]"
    )
    assert after == "False"


def test_calls_of_one_turn_share_a_session(worker: WorldContext) -> None:
    async def work(tool: Python) -> list[str]:
        return list(await asyncio.gather(*(tool.call({"code": f"x{n} = {n}\nx{n}"}) for n in range(4))))

    assert with_tool(worker, work) == ["0", "1", "2", "3"]


def test_the_policy_is_told_what_it_may_import() -> None:
    described = Python().schema["function"]["description"]
    assert "It has the standard library, and no network." in described
    context = WorldContext(sandbox=SandboxConfig(packages=["numpy", "sympy"]))
    described = Python(context=context).schema["function"]["description"]
    assert "It has the standard library, numpy, sympy, and no network." in described


@pytest.mark.parametrize("arguments", [{}, {"code": 3}, {"code": "1", "x": 2}, {"source": "1"}])
def test_wrong_arguments_are_told(worker: WorldContext, arguments: dict[str, Any]) -> None:
    async def work(tool: Python) -> None:
        with pytest.raises(ToolFailed, match="one argument, code, which is a text"):
            await tool.call(arguments)

    with_tool(worker, work)


def test_a_sandbox_that_is_lost_is_no_fault_of_the_policy_s(worker: WorldContext) -> None:
    async def work(tool: Python) -> str:
        await called(tool, "x = 1")
        host = (await tool._interpreter.sessions())._host
        assert host is not None
        await asyncio.to_thread(host.close)
        with pytest.raises(InfrastructureError):
            await tool.call({"code": "x"})
        return (await called(tool, "6 * 7"))[0]

    assert with_tool(worker, work) == "42"


def test_a_cell_has_less_time_than_the_environment_has_for_a_turn() -> None:
    assert Interpreter(WorldContext(), max_idle=1).limits.longest_s == CALL_S * 0.9
    limits = Interpreter(WorldContext(step_timeout_s=10.0), max_idle=1).limits
    assert (limits.wall_s, limits.longest_s) == (2.25, 4.5)


@pytest.mark.parametrize("max_idle", [0, -1, 1.5, True, "many"])
def test_a_limit_on_idle_sessions_is_a_whole_number(max_idle: Any) -> None:
    with pytest.raises(UserError, match="needs a whole number of sessions"):
        Python(max_idle=max_idle)


@pytest.mark.long
def test_without_a_worker_a_tool_has_a_sandbox_of_its_own() -> None:
    async def scenario() -> list[str]:
        tool = Python()
        assert list(await tool.open()) == [tool]
        found = await called(tool, "6 * 7")
        await tool.close()
        return found

    assert asyncio.run(scenario()) == ["42"]
