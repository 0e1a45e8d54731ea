"""Code of the user's own, called so that it holds up nobody: in a thread, or in a task, of its own.

Whatever it raises comes out as :class:`Raised`, so that it cannot be mistaken for a failure of r1ray's, or for the
cancellation of who waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import threading
from collections.abc import Awaitable, Callable
from typing import Any


class Raised(Exception):
    """The exception that a function let out, whatever it is: SystemExit would end the process, and a future takes no
    StopIteration."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


def is_async(function: Callable[..., object]) -> bool:
    """Return whether calling a function gives a coroutine, as far as it says so."""
    return is_any(function, inspect.iscoroutinefunction)


def is_any(function: Callable[..., object], *kinds: Callable[[object], bool]) -> bool:
    """Return whether a function, or the ``__call__`` of an object, is of one of these kinds."""
    while isinstance(function, functools.partial):
        function = function.func
    called = getattr(function, "__call__", None)  # noqa: B004
    return any(is_kind(function) or is_kind(called) for is_kind in kinds)


async def guarded(awaitable: Awaitable[object]) -> object:
    """Return what it returns. Raises :class:`Raised`, but for a cancellation of the task that this runs in."""
    try:
        return await awaitable
    except Raised:  # of a thread
        raise
    except BaseException as error:
        is_ours = isinstance(error, asyncio.CancelledError) and (task := asyncio.current_task()) and task.cancelling()
        if is_ours:
            raise
        raise Raised(error) from None


def in_thread(function: Callable[..., Any], *arguments: Any, name: str = "own code") -> asyncio.Future[Any]:
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

    threading.Thread(target=work, name=name, daemon=True).start()
    return future
