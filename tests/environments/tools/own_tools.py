"""Tools of a user's own, as their module has them."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from r1ray.errors import InfrastructureError, ToolFailed
from r1ray.interfaces import Tool
from r1ray.turns import ToolResult


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.5


def add(a: int, b: float = 1.0) -> float:
    """Add two numbers."""
    return a + b


def move(point: Point, tags: set[str]) -> dict[str, Any]:
    """Move a point."""
    return {"x": point.x + 1, "y": point.y, "tags": sorted(tags)}


async def wait(seconds: float) -> str:
    """Wait."""
    await asyncio.sleep(seconds)
    return f"waited {seconds:g} s"


def sleep(seconds: float) -> str:
    """Sleep, and hold a thread meanwhile."""
    time.sleep(seconds)
    return "slept"


def flood(length: int) -> str:
    """Return a long text."""
    return "ab" * length


def fail(how: str) -> str:
    """Fail in some way."""
    if how == "told":
        raise ToolFailed("the shop is closed")
    if how == "service":
        raise InfrastructureError("the shop is on fire")
    if how == "exit":
        raise SystemExit(3)
    if how == "recursion":
        return fail(how)
    if how == "cancelled":
        raise asyncio.CancelledError
    raise ValueError(f"no such way: {how}")


async def fail_async(how: str) -> str:
    """Fail in some way."""
    return fail(how)


def pay(amount: float) -> ToolResult:
    """Pay for the call."""
    return ToolResult(f"paid {amount:g}", {"paid": amount})


def untyped(a):  # type: ignore[no-untyped-def]
    """Do something."""
    return a


not_callable = 3


class Counter:
    """A tool that remembers, for one trajectory."""

    def __init__(self, *, start: int = 0) -> None:
        if start < 0:
            raise ValueError("start is below 0")
        self.schema = {
            "type": "function",
            "function": {"name": "count", "description": "Count.", "parameters": {"type": "object", "properties": {}}},
        }
        self.count, self.is_closed = start, False

    async def call(self, arguments: Mapping[str, Any]) -> str:
        self.count += 1
        return str(self.count)

    async def close(self) -> None:
        self.is_closed = True


class Stubborn(Counter):
    """A tool that swallows its cancellation, and cannot be closed."""

    async def call(self, arguments: Mapping[str, Any]) -> str:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            await asyncio.sleep(0.2)
        return "late"

    async def close(self) -> None:
        raise OSError("cannot be closed")


class Pair:
    """Two tools, known once they are open."""

    def __init__(self, *, context: Any = None) -> None:
        self.context = context

    async def open(self) -> Sequence[Tool]:
        return [Counter(start=10)] if os.environ.get("ONE") else [Counter(start=10), Counter(start=20)]

    async def close(self) -> None: ...


class NoTool:
    """No call, and no schema."""


class NoCall:
    """A call that is not async."""

    schema = Counter().schema

    def call(self, arguments: Mapping[str, Any]) -> str:
        return ""


def yielding(count: int) -> Any:
    """Give one number after the other."""
    yield from range(count)


def _schema(name: str, parameters: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "description": "Take.", "parameters": parameters}}


class NoSchema:
    schema = _schema("take", {"type": "objekt"})

    async def call(self, arguments: Mapping[str, Any]) -> str:
        return "taken"


class Spaced(NoSchema):
    schema = _schema("take one", {"type": "object"})
