from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest

from r1ray.environments.tools.function_tool import FunctionTool
from r1ray.environments.tools.toolbox import MAX_CALLS, Served, Toolbox, close_all
from r1ray.errors import InfrastructureError
from r1ray.turns import ToolCall
from tests.environments.tools import own_tools

OWN: list[Callable[..., Any]] = [
    own_tools.add,
    own_tools.wait,
    own_tools.sleep,
    own_tools.flood,
    own_tools.fail,
    own_tools.fail_async,
    own_tools.pay,
]


def serve(*calls: ToolCall, call_timeout_s: float = 20.0, extra: tuple[Any, ...] = ()) -> Served:
    tools = [*map(FunctionTool, OWN), *extra]
    box = Toolbox(tools, call_timeout_s=call_timeout_s, max_result_chars=200)
    return asyncio.run(box.serve(calls))


def test_the_calls_of_a_turn_run_at_once_and_are_answered_in_their_order() -> None:
    box = Toolbox([FunctionTool(gather)], call_timeout_s=20, max_result_chars=200)
    calls = [ToolCall("gather", {"number": number}, id=f"call-{number}") for number in range(3)]
    served = asyncio.run(box.serve(calls))
    assert [message.content for message in served.messages] == ["0", "1", "2"]
    assert [(message.role, message.tool, message.call_id) for message in served.messages][1] == (
        "tool",
        "gather",
        "call-1",
    )
    assert served.num_errors == 0


_together: set[int] = set()


async def gather(number: int) -> int:
    """Return once three calls are there."""
    _together.add(number)
    while len(_together) < 3:
        await asyncio.sleep(0.001)
    return number


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (ToolCall("nothing", {}), "there is no tool 'nothing'. The tools are: add, wait"),
        (ToolCall("x" * 10_000, {}), "there is no tool 'xxx"),
        (ToolCall("", {}), "there is no tool ''"),
        (ToolCall("add", {}, text="{", problem="the arguments are no JSON"), "the arguments are no JSON"),
        (ToolCall("add", {"a": "2"}), "wrong arguments for add: $.a: '2' is not of type 'integer'"),
        (ToolCall("fail", {"how": "told"}), "the shop is closed"),
        (ToolCall("fail", {"how": "\ud800"}), "fail failed: ValueError: no such way"),
        (ToolCall("fail", {"how": "x" * 10_000}), "fail failed: ValueError: no such way"),
        (ToolCall("fail", {"how": "recursion"}), "fail failed: RecursionError"),
        (ToolCall("fail", {"how": "exit"}), "fail failed: SystemExit"),
        (ToolCall("fail_async", {"how": "exit"}), "fail_async failed: SystemExit"),
        (ToolCall("fail_async", {"how": "cancelled"}), "fail_async failed: CancelledError"),
        (ToolCall("fail_async", {"how": "told"}), "the shop is closed"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_failure_is_told_to_the_model_and_counted(call: ToolCall, said: str) -> None:
    served = serve(call, ToolCall("add", {"a": 1}))
    told, right = served.messages
    assert told.content.startswith("Error: ") and said in told.content and len(told.content) < 300
    assert told.content.encode()
    assert (right.content, served.num_errors) == ("2.0", 1)


def test_a_call_that_gives_no_answer_is_told_whether_it_waits_or_holds_a_thread_or_swallows_its_end() -> None:
    began = time.monotonic()
    served = serve(
        ToolCall("wait", {"seconds": 30}),
        ToolCall("sleep", {"seconds": 2}),
        ToolCall("count", {}),
        call_timeout_s=0.2,
        extra=(own_tools.Stubborn(),),
    )
    assert time.monotonic() - began < 20
    assert [message.content for message in served.messages] == [
        "Error: wait gave no answer within 0.2 s",
        "Error: sleep gave no answer within 0.2 s",
        "Error: count gave no answer within 0.2 s",
    ]


@pytest.mark.parametrize("name", ["fail", "fail_async"])
def test_a_failure_of_a_service_is_nobodys_reward(name: str) -> None:
    with pytest.raises(InfrastructureError, match="on fire"):
        serve(ToolCall("add", {"a": 1}), ToolCall(name, {"how": "service"}), ToolCall("wait", {"seconds": 30}))


def test_rewards_of_calls_add_up_over_the_turn() -> None:
    served = serve(ToolCall("pay", {"amount": 0.5}), ToolCall("pay", {"amount": 1}), ToolCall("add", {"a": 1}))
    assert served.rewards == {"paid": 1.5}


def test_long_results_are_cut_and_too_many_calls_are_refused() -> None:
    served = serve(ToolCall("flood", {"length": 10_000}), *[ToolCall("add", {"a": 1})] * MAX_CALLS)
    assert "[19800 characters are left out here]" in served.messages[0].content
    assert served.messages[-1].content == f"Error: {MAX_CALLS} calls of a turn are served, and this is one more"
    assert served.num_errors == 1


def test_no_call_is_served_with_nothing() -> None:
    assert serve() == Served(())


def test_who_is_cancelled_takes_the_calls_along() -> None:
    async def leave() -> None:
        box = Toolbox([FunctionTool(own_tools.wait)], call_timeout_s=60, max_result_chars=200)
        serving = asyncio.ensure_future(box.serve([ToolCall("wait", {"seconds": 50})] * 3))
        await asyncio.sleep(0.05)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        await asyncio.sleep(0.05)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(leave())


def test_a_failure_of_a_tool_is_logged_once_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        serve(*[ToolCall("oops", {})] * 3, extra=(FunctionTool(own_tools.fail, name="oops"),))
        box = Toolbox([FunctionTool(broken)], call_timeout_s=20, max_result_chars=200)
        asyncio.run(box.serve([ToolCall("broken", {})] * 3))
    assert len([record for record in caplog.records if "ZeroDivisionError" in record.getMessage()]) == 1


def broken() -> float:
    """Fail as code does."""
    return 1 / 0


def test_each_is_closed_whatever_becomes_of_the_others() -> None:
    stubborn, counter = own_tools.Stubborn(), own_tools.Counter()
    asyncio.run(close_all([stubborn.close, lambda: 1 / 0, counter.close]))
    assert counter.is_closed
