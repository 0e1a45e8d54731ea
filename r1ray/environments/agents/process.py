"""A command that runs to its end, or is ended: with everything that it started, and with the end of what it printed.

    Order --run_command--> guard --> the command      stop is set --> both end      --> Ended

Its output is read and dropped but for its end, so that it never waits for a full pipe; after ``FREE_BYTES`` it is read
slowly, so that a command that prints without end slows nobody but itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from r1ray.config.environment import AgentsConfig
from r1ray.environments.agents.folder import WORK
from r1ray.environments.agents.usage import over_limit
from r1ray.environments.agents.walls import PORT, Walls
from r1ray.errors import InfrastructureError
from r1ray.runtime.leftovers import kill_all_with

KEPT_BYTES = 1 << 16
"""Bytes of an output that are kept, from its end."""
FREE_BYTES = 1 << 24
"""Bytes of an output that are read as they come."""
PIECE, PAUSE_S = 1 << 16, 0.02
START_S = 30.0
"""Longest start of a guard, on a busy machine."""
KILL_S = 5.0
"""Longest end of a guard that was told to end; then it is killed itself."""
MARK = "R1RAY_AGENT"
"""Variable by which processes are found whose guard was killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A command, and where it runs."""

    command: Sequence[str]
    """The first word is the path of a program."""
    folder: Path
    """The folder of the trajectory, all of which it may write; it runs in ``work`` there."""
    environment: Mapping[str, str] = field(default_factory=dict)
    walls: Walls
    limits: AgentsConfig = field(default_factory=AgentsConfig)
    """Limits of the command with all that it starts; over one of them, it is ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The end of a command."""

    code: int | None
    """Exit code, or a signal's number below 0; None: it was ended from here, or its guard was killed."""
    over: str = ""
    """The limit that it was ended for, in words."""
    output: bytes = b""
    """The end of what it printed."""
    num_bytes: int = 0
    """Length of all that it printed."""


async def run_command(
    order: Order, stop: asyncio.Event, *, listening: Callable[[socket.socket], object] | None = None
) -> Ended:
    """Return how a command ended, once nothing of it runs any more. A cancellation ends it too.

    Args:
        stop: once it is set, the command is ended.
        listening: is called with a socket that listens at ``walls.PORT`` inside walls that have their own network.

    Raises:
        InfrastructureError: it could not be started.
    """
    control, output, mark = _Control(), _Output(), secrets.token_hex(8)
    try:
        with control.theirs:
            process = _spawned(order, control.theirs.fileno(), output.their_end)
        output.begin()
        try:
            async with asyncio.timeout(START_S):  # wait_for may lose a cancellation
                await _start(control, order, mark, listening)
            code, over = await _end_of(
                control, stop, over_limit(process.pid, order.limits, num_own=order.walls.num_own)
            )
        except (OSError, TimeoutError) as error:
            said = str(error) or "its guard does not answer"
            raise InfrastructureError(f"{order.command[0]} could not be started: {said}. {output.text}") from error
        finally:
            control.end()
            await asyncio.shield(asyncio.to_thread(_wait_or_kill, process, mark))
        output.read_rest()
        return Ended(code=code, over=over, output=bytes(output.end), num_bytes=output.num_bytes)
    finally:
        output.close()
        control.close()


def _spawned(order: Order, descriptor: int, output: int) -> subprocess.Popen[bytes]:
    """Start a guard in its walls. Raises InfrastructureError."""
    python, library, prefix = order.walls.guard(order.folder)
    start = (
        f"import sys; sys.path.append({library!r}); from r1ray.environments.agents import guard; "
        f"guard.main({descriptor})"
    )
    try:
        return subprocess.Popen(
            [*prefix, python or sys.executable, "-I", "-S", "-c", start],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[descriptor],
            env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        raise InfrastructureError(f"the guard of {order.command[0]} cannot be started: {error}") from error


async def _start(
    control: _Control, order: Order, mark: str, listening: Callable[[socket.socket], object] | None
) -> None:
    """Have the guard start the command. Raises InfrastructureError, OSError."""
    await control.send(
        {
            "command": list(order.command),
            "environment": {**order.environment, MARK: mark},
            "folder": f"{order.walls.inside(order.folder)}/{WORK}",
            "landlock": order.walls.landlock(order.folder),
            "port": 0 if listening is None else PORT,
        }
    )
    if listening is not None:
        listening(await control.listener())
    answer = await control.answer()
    if answer is None:
        raise OSError("its guard ended")
    if problem := answer["problem"]:
        raise InfrastructureError(f"{order.command[0]} could not be started: {problem}")


async def _end_of(
    control: _Control, stop: asyncio.Event, over_limit: Coroutine[None, None, str]
) -> tuple[int | None, str]:
    """Return the code that the command ended with, None where it is to be ended (``stop`` is set, or it is over a
    limit) or its guard is gone; and that limit."""
    told, stopped = asyncio.ensure_future(control.answer()), asyncio.ensure_future(stop.wait())
    over = asyncio.ensure_future(over_limit)
    try:
        await asyncio.wait([told, stopped, over], return_when=asyncio.FIRST_COMPLETED)
        if told.done():
            answer = told.result()
            return None if answer is None else cast("int | None", answer["status"]), ""
        return None, over.result() if over.done() else ""
    finally:
        for each in (told, stopped, over):
            each.cancel()


def _wait_or_kill(process: subprocess.Popen[bytes], mark: str) -> None:
    try:
        is_lost = process.wait(KILL_S) != 0
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        is_lost = True
    if is_lost:
        kill_all_with(MARK, mark, longest_s=KILL_S)


class _Control:
    """The socket to a guard: an order, then its answers, a line of JSON each."""

    def __init__(self) -> None:
        self._ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._ours.setblocking(False)
        self._rest = b""

    async def send(self, order: Mapping[str, object]) -> None:
        """Raises OSError."""
        await asyncio.get_running_loop().sock_sendall(self._ours, json.dumps(order).encode() + b"\n")

    async def listener(self) -> socket.socket:
        """Return the socket that the guard has made. Raises OSError."""
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._ours, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(self._ours)
        _, descriptors, _, _ = socket.recv_fds(self._ours, 1, 1)
        if not descriptors:
            raise OSError("its guard ended")
        return socket.socket(fileno=descriptors[0])

    async def answer(self) -> dict[str, object] | None:
        """Return what the guard says; None where it has ended."""
        while b"\n" not in self._rest:
            try:
                piece = await asyncio.get_running_loop().sock_recv(self._ours, PIECE)
            except ConnectionError:
                piece = b""
            if not piece:
                return None
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        return dict(json.loads(line))

    def end(self) -> None:
        """Tell the guard to end."""
        with contextlib.suppress(OSError):
            self._ours.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for each in (self._ours, self.theirs):
            each.close()


class _Output:
    """The pipe of a command's output, and the end of what came."""

    def __init__(self) -> None:
        self._ours, self.their_end = os.pipe()
        os.set_blocking(self._ours, False)
        self._loop = asyncio.get_running_loop()
        self._again: asyncio.TimerHandle | None = None
        self.end = bytearray()
        self.num_bytes = 0

    @property
    def text(self) -> str:
        self.read_rest()
        return bytes(self.end[-2000:]).decode("utf-8", "replace").strip()

    def begin(self) -> None:
        """Read from now on; the other end is the guard's alone."""
        os.close(self.their_end)
        self.their_end = -1
        self._loop.add_reader(self._ours, self._read)

    def read_rest(self) -> None:
        """Read what is still in the pipe."""
        while self._ours >= 0 and self._take():
            pass

    def close(self) -> None:
        if self._again is not None:
            self._again.cancel()
        self._loop.remove_reader(self._ours)
        for descriptor in (self._ours, self.their_end):
            if descriptor >= 0:
                os.close(descriptor)
        self._ours = -1

    def _read(self) -> None:
        has_more = self._take()
        if not has_more or self.num_bytes > FREE_BYTES:
            self._loop.remove_reader(self._ours)
        if has_more and self.num_bytes > FREE_BYTES:
            self._again = self._loop.call_later(PAUSE_S, self._loop.add_reader, self._ours, self._read)

    def _take(self) -> bool:
        """Take a piece. Return False where there is none, and never will be."""
        try:
            piece = os.read(self._ours, PIECE)
        except BlockingIOError:
            return False
        self.num_bytes += len(piece)
        self.end += piece
        del self.end[:-KEPT_BYTES]
        return bool(piece)
