"""Scoring in a separate process: if the user's function ends or crashes it, only one row is lost.

outcome --> child: RewardScorer --> outcome
the child ends --> rows under way are scored again, one by one: the row that ends it again is to blame
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from itertools import count
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from r1ray.config import RewardConfig, SandboxConfig
from r1ray.errors import InfrastructureError, PartFailure
from r1ray.reward.own_result import MAX_RESPONSE, shortened
from r1ray.reward.scorer import RewardScorer
from r1ray.turns import InEnvironment
from r1ray.types import Outcome, Prompt, Response, ScoringFailed

END_S = 10.0
"""Longest wait for a child to end by itself."""


class ChildEnded(InfrastructureError):
    """The process that was to score a response has ended."""


class IsolatedScorer:
    """A :class:`~r1ray.reward.scorer.RewardScorer` in a child process, which is restarted if it ends."""

    def __init__(self, config: RewardConfig, sandbox: SandboxConfig) -> None:
        """Raises the errors of the scorer."""
        self._config, self._sandbox = config, sandbox
        self._under_way: dict[int, asyncio.Future[Any]] = {}
        self._numbers = count()
        self._num_suspects, self._one, self._none_left = 0, asyncio.Lock(), asyncio.Event()
        self._none_left.set()
        self._start()

    async def outcome(
        self, prompt: Prompt, response: Response, world: InEnvironment | None = None
    ) -> tuple[Outcome, str | None]:
        """See :class:`~r1ray.reward.scorer.RewardScorer`."""
        await self._none_left.wait()
        try:
            return await self._ask(prompt, response, world)
        except ChildEnded:
            self._num_suspects += 1
            self._none_left.clear()
        try:
            async with self._one:
                return await self._ask(prompt, response, world)
        except ChildEnded as error:
            return self._ended(response, error), None
        finally:
            self._num_suspects -= 1
            if not self._num_suspects:
                self._none_left.set()

    def close(self) -> None:
        """End the child."""
        self._stop_reading()
        self._pipe.close()
        self._child.join(END_S)
        self._child.kill()

    # ------------------------------------------------------------------ the child

    def _start(self) -> None:
        """Start a child. It is forked, so it needs no new imports, and it needs none of this process's threads."""
        sys.stdout.flush()
        self._pipe, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("fork")
        self._child = context.Process(target=_serve, args=(theirs, self._pipe, self._config, self._sandbox))
        self._child.start()
        theirs.close()
        try:
            problem = self._pipe.recv()
        except EOFError:
            raise InfrastructureError("a process to score in ended at its start") from None
        if problem is not None:
            raise problem
        asyncio.get_running_loop().add_reader(self._pipe.fileno(), self._read)

    async def _ask(self, prompt: Prompt, response: Response, world: InEnvironment | None) -> tuple[Outcome, str | None]:
        if not self._child.is_alive():
            self._read_to_the_end()
            self._start()
        number = next(self._numbers)
        answer = self._under_way[number] = asyncio.get_running_loop().create_future()
        try:
            self._pipe.send((number, prompt, response, world))
        except OSError:
            self._read_to_the_end()
        try:
            outcome: tuple[Outcome, str | None] = await answer
            return outcome
        finally:
            self._under_way.pop(number, None)

    def _read(self) -> None:
        """Deliver one answer."""
        try:
            number, value, error = self._pipe.recv()
        except (EOFError, OSError):
            self._child.join(END_S)
            return self._give_up()
        answer = self._under_way.get(number)
        if answer is None or answer.done():
            return
        if error is None:
            answer.set_result(value)
        else:
            answer.set_exception(error)

    def _read_to_the_end(self) -> None:
        """Deliver the answers that the child gave before it ended."""
        while not self._pipe.closed:
            self._read()

    def _give_up(self) -> None:
        self._stop_reading()
        self._pipe.close()
        for answer in self._under_way.values():
            if not answer.done():
                answer.set_exception(ChildEnded(f"exit code {self._child.exitcode}"))

    def _stop_reading(self) -> None:
        if not self._pipe.closed:
            asyncio.get_running_loop().remove_reader(self._pipe.fileno())

    def _ended(self, response: Response, error: ChildEnded) -> ScoringFailed:
        said = f"scoring it ended its process twice, the second time by itself: {error}"
        failures = tuple(
            PartFailure(
                part=part,
                kind="ended its process",
                message=said,
                response=shortened(response.text, MAX_RESPONSE),
                on_error=on_error,
                ended_worker=True,
            )
            for part, on_error in self._config.suspects().items()
        )
        return ScoringFailed(said, failures)


def _serve(pipe: Connection, other_end: Connection, config: RewardConfig, sandbox: SandboxConfig) -> NoReturn:
    """Run the child: score requests until the other end is closed."""
    other_end.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command receives it, and closes the pipe
    asyncio.run(_answer_all(pipe, config, sandbox))
    os._exit(0)  # leaves the command's unwritten output to the command


async def _answer_all(pipe: Connection, config: RewardConfig, sandbox: SandboxConfig) -> None:
    try:
        scorer = RewardScorer(config, sandbox, programs=None)
    except Exception as error:
        pipe.send(error)
        return
    pipe.send(None)
    loop, over, tasks = asyncio.get_running_loop(), asyncio.Event(), set[asyncio.Task[None]]()

    async def answer(number: int, prompt: Prompt, response: Response, world: InEnvironment | None) -> None:
        try:
            _send(pipe, (number, await scorer.outcome(prompt, response, world), None))
        except Exception as error:
            _send(pipe, (number, None, error))

    def begin(*asked: Any) -> None:
        tasks.add(task := loop.create_task(answer(*asked)))
        task.add_done_callback(tasks.discard)

    def listen() -> None:
        """Receive requests in a thread, so that the parent never waits for answers while it sends."""
        try:
            while True:
                loop.call_soon_threadsafe(begin, *pipe.recv())
        except (EOFError, OSError):
            loop.call_soon_threadsafe(over.set)

    threading.Thread(target=listen, daemon=True).start()
    await over.wait()
    scorer.close()


def _send(pipe: Connection, answer: tuple[int, Any, Exception | None]) -> None:
    try:
        packed = pickle.dumps(answer)
    except Exception:  # an error of the user's may not survive pickling
        packed = pickle.dumps((answer[0], None, RuntimeError(str(answer[2]))))
    pipe.send_bytes(packed)
