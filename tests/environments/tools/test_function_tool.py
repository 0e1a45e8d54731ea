from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from r1ray.environments.tools import function_tool
from r1ray.environments.tools.function_tool import FunctionTool
from r1ray.errors import InfrastructureError, ToolFailed
from tests.environments.tools import own_tools


def call(function: Callable[..., Any], **arguments: Any) -> Any:
    return asyncio.run(FunctionTool(function).call(arguments))


def test_arguments_become_values_of_the_types_and_defaults_are_the_functions() -> None:
    assert call(own_tools.add, a=2) == 3.0
    assert call(own_tools.add, a=2.0, b=3) == 5.0
    moved = {"x": 4, "y": 0.5, "tags": ["a", "b"]}
    assert call(own_tools.move, point={"x": 3}, tags=["b", "a"]) == moved
    assert call(own_tools.wait, seconds=0) == "waited 0 s"


def deep(depth: int) -> Any:
    value: Any = {}
    for _ in range(depth):
        value = {"x": value}
    return value


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "'point' is a required property"),
        ({"point": {"x": "3"}, "tags": []}, "$.point.x: '3' is not of type 'integer'"),
        ({"point": {"x": True}, "tags": []}, "$.point.x: True is not of type"),
        ({"point": {"x": 1.5}, "tags": []}, "$.point.x: 1.5 is not of type"),
        ({"point": {"x": 3, "y": float("nan")}, "tags": []}, "$.point.y is no number"),
        ({"point": {"x": 3}, "tags": ["a", "a"]}, "has non-unique elements"),
        ({"point": {"x": 3}, "tags": [], "colour": "red"}, "has no argument 'colour'. Its arguments are: point, tags"),
        ({"point": deep(3000), "tags": []}, "too deeply"),
        ({"point": {"x": 10**5000}, "tags": {}}, "wrong arguments for move"),
        ({"point": {"x": 3, "y": 10**400}, "tags": []}, "wrong arguments for move"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_arguments_are_told_in_a_sentence(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ToolFailed) as raised:
        call(own_tools.move, **arguments)
    assert said in str(raised.value) and len(str(raised.value)) < 500


def test_threads_that_do_not_return_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    monkeypatch.setattr(function_tool, "_threads", threading.BoundedSemaphore(1))

    async def two() -> tuple[Any, Any]:
        tool = FunctionTool(own_tools.sleep)
        first = asyncio.ensure_future(tool.call({"seconds": 0.3}))
        await asyncio.sleep(0)
        with pytest.raises(InfrastructureError):
            await tool.call({"seconds": 0})
        return await first, await tool.call({"seconds": 0})

    assert asyncio.run(two()) == ("slept", "slept")
