"""A reward function of the user, checked before a run and called in it.

package.module:function --load_function--> function --call--> what it returned, or Raised
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import inspect
from collections.abc import Awaitable, Callable
from typing import cast

from r1ray.config import RewardPart
from r1ray.errors import DeadlineExceeded, InfrastructureError, PartStuck, UserError
from r1ray.interfaces import RewardFn
from r1ray.runtime.deadline import within
from r1ray.runtime.own_code import guarded, in_thread, is_any, is_async

# ---------------------------------------------------------------------- before a run


def load_function(key: str, path: str) -> RewardFn:
    """Return the function that ``package.module:function`` names. Raises UserError."""
    module, _, name = path.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as error:  # importing runs the user's module, which may raise anything
        raise UserError(
            f"{key}={path}: needs package.module:function of an importable function: {type(error).__name__}: {error}."
        ) from error
    if not callable(function):
        raise UserError(f"{key}={path}: {name} is not a function.")
    return cast(RewardFn, function)


def call_problem(function: Callable[..., object], *names: str, **options: object) -> str | None:
    """Return the reason why a function cannot be called with positional arguments of these names and with ``options``
    as keywords; None if it can or has no known signature."""
    if inspect.isclass(function):
        return f"is the class {function.__name__}; needs a function, or an object that can be called"
    if is_any(function, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
        return "is a generator, and yields; needs a function that returns"
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):  # some functions in C have no known signature
        return None
    try:
        signature.bind(*names, **options)
    except TypeError as error:
        called = ", ".join([*names, *(f"{name}=..." for name in options)])
        return f"takes {signature}, and is called with ({called}): {error}"
    return None


def own_function_problem(key: str, part: RewardPart, function: Callable[..., object], *, shown: str) -> str | None:
    """Return the message for a function that cannot be called as a reward; None if it can."""
    problem = call_problem(function, "prompt", "response", **part.options)
    if problem is None:
        return None
    return f"{key}.options={part.options}: {shown} {problem}." if part.options else f"{shown}: {problem}."


# ---------------------------------------------------------------------- in a run


async def call(
    function: Callable[..., object], *arguments: object, name: str, deadline_s: float, slots: asyncio.Semaphore
) -> object:
    """Call a function and return its result. A function that is no coroutine runs in a thread, so that a slow one
    blocks nothing else.

    Args:
        name: name of its part of the reward.
        slots: limit on the number of threads. The deadline starts with the function.

    Raises:
        Raised: the function raised.
        InfrastructureError: it waited for longer than ``deadline_s``.
        PartStuck: it is still running after ``deadline_s``. A thread cannot be ended, so its process has to be.
    """
    wait = functools.partial(
        within,
        deadline_s,
        waiter="a completion",
        owner=f"reward part {name}",
        key=f"reward.parts.{name}.deadline_s",
    )
    if is_async(function):
        return await _awaited(cast("Awaitable[object]", function(*arguments)), wait)
    async with slots:
        try:
            value = await wait(in_thread(function, *arguments, name="reward"))
        except DeadlineExceeded as error:
            raise PartStuck(str(error), name) from error
    return await _awaited(value, wait) if inspect.isawaitable(value) else value


async def _awaited(awaitable: Awaitable[object], wait: Callable[[Awaitable[object]], Awaitable[object]]) -> object:
    """Return the result of a coroutine, which runs as a task of its own, so that one that swallows its cancellation is
    left behind."""
    task = asyncio.ensure_future(guarded(awaitable))
    try:
        return await wait(asyncio.shield(task))
    except DeadlineExceeded as error:
        raise InfrastructureError(str(error)) from error
    finally:
        task.cancel()
