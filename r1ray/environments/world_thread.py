"""Thread of one world of the user's own, so that its methods never block another world.

All calls of a world, including its constructor, are made in one thread, one after the other: resources opened in one
call (an sqlite connection, a client of an event loop) can be used in all others. A coroutine runs on an event loop of
that thread, which is paused between calls. A call that never returns keeps the thread, which dies with the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import queue
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from r1ray.runtime.own_code import Raised, guarded


@dataclass(frozen=True, slots=True)
class _Call:
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]


class WorldThread:
    """Calls functions in a thread of its own, which starts with the first call."""

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=f"world {name}", daemon=True)
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    async def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return a function's result, or that of the coroutine that it returns. Raises :class:`Raised`."""
        if self._thread.ident is None:
            self._thread.start()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._calls.put(_Call(function, arguments, loop, future))
        try:
            return await future
        except asyncio.CancelledError:
            self._cancel()
            raise

    def end(self) -> None:
        """End the thread after the calls made so far."""
        self._calls.put(None)

    def _cancel(self) -> None:
        """Cancel the running coroutine, if any; it belongs to the call that is given up."""
        if (running := self._running) is not None:
            loop, task = running
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(task.cancel)

    def _work(self) -> None:
        runner = asyncio.Runner()  # makes its loop with the first coroutine
        while (call := self._calls.get()) is not None:
            if call.future.cancelled():
                continue
            outcome: Any
            try:
                outcome = call.function(*call.arguments)
                if inspect.isawaitable(outcome):
                    outcome = runner.run(self._awaited(outcome))
            except Raised as error:
                outcome = error
            except BaseException as error:
                outcome = Raised(error)
            with contextlib.suppress(RuntimeError):  # the caller's loop is gone, and nobody waits
                call.loop.call_soon_threadsafe(_settle, call.future, outcome)
        with contextlib.suppress(Exception):  # tasks of the user's code that do not end
            runner.close()

    async def _awaited(self, awaitable: Awaitable[Any]) -> Any:
        task = asyncio.current_task()
        assert task is not None
        self._running = asyncio.get_running_loop(), task
        try:
            return await guarded(awaitable)
        finally:
            self._running = None


def _settle(future: asyncio.Future[Any], outcome: Any) -> None:
    if future.done():  # the call was given up
        return
    if isinstance(outcome, Raised):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
