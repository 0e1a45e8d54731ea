"""Worlds of a user's own, good ones and bad ones, for the tests."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from typing import Any

from r1ray.environments.world_context import WorldContext
from r1ray.errors import InfrastructureError, UserError
from r1ray.turns import Done, Message, Observation

CLOSED: list[object] = []
GATES: dict[str, threading.Event] = {}


class Guess:
    def reset(self, prompt, seed):  # type: ignore[no-untyped-def]
        self.number = prompt.columns["number"]

    def step(self, action):  # type: ignore[no-untyped-def]
        if str(self.number) in action.content:
            return Done(rewards={"right": 1.0})
        return "No. Guess again."


class Coroutines:
    def __init__(self, *, size: int = 3) -> None:
        self.size = size

    async def reset(self, prompt: Any, seed: int) -> Observation:
        await asyncio.sleep(0)
        return Observation(messages=(Message("system", "Be short."), Message("user", f"{self.size} {seed}")))

    async def step(self, action: Any) -> Message:
        await asyncio.sleep(0)
        return Message("tool", action.content, tool="echo")

    async def close(self) -> None:
        CLOSED.append(self)


class Database:
    """Has an object that only the thread may use that made it."""

    def reset(self, prompt: Any, seed: int) -> str:
        self.base = sqlite3.connect(":memory:")
        return "Ask."

    async def step(self, action: Any) -> str:
        return str(self.base.execute(action.content).fetchone()[0])

    def close(self) -> None:
        self.base.close()
        CLOSED.append(self)


class Scripted:
    """Does in each step what the policy says."""

    def reset(self, prompt: Any, seed: int) -> Any:
        return _does(prompt.text) if prompt.text else "Say."

    def step(self, action: Any) -> Any:
        return _does(action.content)

    def close(self) -> None:
        CLOSED.append(self)


class ScriptedAsync:
    async def reset(self, prompt: Any, seed: int) -> Any:
        if prompt.text == "sleep":
            await asyncio.sleep(60)
        return "Say."

    async def step(self, action: Any) -> Any:
        if action.content == "sleep":
            await asyncio.sleep(60)
        if action.content == "swallow":
            while not GATES["end"].is_set():
                try:
                    await asyncio.sleep(0.01)
                except asyncio.CancelledError:
                    continue
        return _does(action.content)

    async def close(self) -> None:
        CLOSED.append(self)


def _does(what: str) -> Any:
    actions: dict[str, Any] = {
        "none": lambda: None,
        "number": lambda: 3,
        "not finite": lambda: Done(rewards={"right": float("nan")}),
        "no message": lambda: [Message("robot", "x")],  # type: ignore[arg-type]
        "surrogate": lambda: "\ud800",
        "long": lambda: "x" * 3_000_000,
        "no tools": lambda: Observation(messages=(Message("user", "x"),), tools=({"name": "x"},)),
        "unwritable tools": lambda: Observation(
            messages=(Message("user", "x"),), tools=({"type": "function", "function": {"name": "x", "run": print}},)
        ),
        "no calls": lambda: Message("assistant", "x", calls=[{"name": "x"}]),  # type: ignore[arg-type]
        "unshown": lambda: Observation(messages=(Unshown(),)),  # type: ignore[arg-type]
        "no tool": lambda: Message("tool", "x", tool=3),  # type: ignore[arg-type]
        "label": lambda: Done(label=3),  # type: ignore[arg-type]
        "block": lambda: GATES["end"].wait(30) and "late",
        "nap": lambda: "rested" if threading.Event().wait(0.2) is False else "",
        "machine": lambda: _raise(InfrastructureError("the service is gone")),
        "exit": lambda: _raise(SystemExit(3)),
        "stop": lambda: _raise(StopIteration()),
        "cancel": lambda: _raise(asyncio.CancelledError()),
        "raise": lambda: _raise(ValueError("it is wrong")),
    }
    return actions[what]()


class Unshown:
    def __repr__(self) -> str:
        raise ValueError("nothing is shown")


def _raise(error: BaseException) -> None:
    raise error


class Contextual(Guess):
    def __init__(self, *, context: WorldContext, key: str = "k") -> None:
        self.shared = context.shared(key, list)
        self.shared.append(self)


class Calculator:
    def reset(self, prompt: Any, seed: int) -> Observation:
        parameters = {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}}
        tool = {"type": "function", "function": {"name": "add", "description": "", "parameters": parameters}}
        return Observation(messages=(Message("user", "Add."),), tools=(tool,))

    def step(self, action: Any) -> list[Message]:
        return [Message("tool", "no such tool", tool=call.name) for call in action.calls]


class Forgetful:
    def reset(self, prompt: Any, seed: int) -> str:
        return "Say."

    def step(self, action: Any) -> None: ...


class Yields(Forgetful):
    def step(self, action: Any) -> Any:
        yield "Again."


class Talkative(Forgetful):
    def reset(self, prompt: Any, seed: int) -> str:
        return "word " * 500

    def step(self, action: Any) -> Any:
        return "Again."


class Broken:
    def __init__(self) -> None:
        raise ValueError("no licence")

    def reset(self, prompt: Any, seed: int) -> None: ...

    def step(self, action: Any) -> None: ...


class Closes:
    def reset(self, prompt: Any, seed: int) -> str:
        return "x"

    def step(self, action: Any) -> str:
        return "x"

    def close(self) -> None:
        raise ValueError("cannot close")


class Checked(Guess):
    async def check(self) -> None:
        raise UserError("the corpus is not there")


class NoStep:
    def reset(self, prompt: Any, seed: int) -> None: ...


class OtherStep:
    def reset(self, prompt: Any, seed: int) -> None: ...

    def step(self) -> None: ...


def guess(*, first: int = 0) -> Guess:
    return Guess()


def nothing() -> object:
    return object()


NO_CLASS = 3
