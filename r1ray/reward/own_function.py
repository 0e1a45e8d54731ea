"""A reward function of the user's: looked at before a run, and called in it.

package.module:function --load_function--> function --call--> what it returned, or Raised
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import inspect
import threading
from collections.abc import Awaitable, Callable
from typing import Any, cast

from r1ray.config import RewardPart
from r1ray.errors import DeadlineExceeded, InfrastructureError, PartStuck, UserError
from r1ray.interfaces import RewardFn
from r1ray.runtime.deadline import within


class Raised(Exception):
    """The exception that a function let out, whatever it is: SystemExit would end the process, and a future takes no
    StopIteration."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


# ---------------------------------------------------------------------- before a run


def load_function(key: str, path: str) -> RewardFn:
    """Return the function that ``package.module:function`` names. Raises UserError."""
    module, _, name = path.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as error:  # importing runs the user's module, which may do anything
        raise UserError(
            f"{key}={path}: needs package.module:function of an importable function: {type(error).__name__}: {error}."
        ) from error
    if not callable(function):
        raise UserError(f"{key}={path}: {name} is not a function.")
    return cast(RewardFn, function)


def call_problem(function: Callable[..., object], *names: str, **options: object) -> str | None:
    """Return why a function cannot be called with arguments of these names, given by their place, and with
    ``options``, given by name; None if it can, or does not say."""
    if inspect.isclass(function):
        return f"is the class {function.__name__}; needs a function, or an object that can be called"
    if _is_any(function, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
        return "is a generator, and yields; needs a function that returns"
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):  # of some functions in C nothing is known
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


def is_async(function: Callable[..., object]) -> bool:
    """Return whether calling a function gives a coroutine, as far as it says so."""
    return _is_any(function, inspect.iscoroutinefunction)


def _is_any(function: Callable[..., object], *kinds: Callable[[object], bool]) -> bool:
    """Return whether a function, or the ``__call__`` of an object, is of one of these kinds."""
    while isinstance(function, functools.partial):
        function = function.func
    called = getattr(function, "__call__", None)  # noqa: B004
    return any(is_kind(function) or is_kind(called) for is_kind in kinds)


# ---------------------------------------------------------------------- in a run


async def call(
    function: Callable[..., object], *arguments: object, name: str, deadline_s: float, slots: asyncio.Semaphore
) -> object:
    """Return what a function returns: in a thread where it is not a coroutine, so that a slow one holds up nobody.

    Args:
        name: of its part of the reward.
        slots: how many threads there may be; the clock starts with the function.

    Raises:
        Raised: whatever it raised.
        InfrastructureError: it waited for longer than ``deadline_s``.
        PartStuck: it is still at work after ``deadline_s``. A thread cannot be ended: its process has to be.
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
            value = await wait(_in_thread(function, *arguments))
        except DeadlineExceeded as error:
            raise PartStuck(str(error), name) from error
    return await _awaited(value, wait) if inspect.isawaitable(value) else value


async def _awaited(awaitable: Awaitable[object], wait: Callable[[Awaitable[object]], Awaitable[object]]) -> object:
    """Return what a coroutine returns, which runs as a task of its own: one that swallows its cancellation is left
    behind."""
    task = asyncio.ensure_future(_guarded(awaitable))
    try:
        return await wait(asyncio.shield(task))
    except DeadlineExceeded as error:
        raise InfrastructureError(str(error)) from error
    finally:
        task.cancel()


async def _guarded(awaitable: Awaitable[object]) -> object:
    try:
        return await awaitable
    except BaseException as error:
        is_ours = isinstance(error, asyncio.CancelledError) and (task := asyncio.current_task()) and task.cancelling()
        if is_ours:
            raise
        raise Raised(error) from None


def _in_thread(function: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:
    """Call a function in a thread of its own. A daemon: one that never returns must not keep the process alive."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def settle(set_outcome: Callable[[Any], None], outcome: Any) -> None:
        if not future.done():  # it may have been given up
            set_outcome(outcome)

    def work() -> None:
        try:
            outcome, setter = function(*arguments), future.set_result
        except BaseException as error:
            outcome, setter = Raised(error), future.set_exception
        with contextlib.suppress(RuntimeError):  # the loop is gone, and nobody waits
            loop.call_soon_threadsafe(settle, setter, outcome)

    threading.Thread(target=work, name="reward", daemon=True).start()
    return future
