"""A session: one isolated process that executes cell after cell and keeps their definitions.

A cell is over when the process says so or when its time is up. In the second case it is interrupted, which keeps its
definitions, and the process is ended if it does not stop. Times are measured from here: processor time is the process's
own, and the wall clock leaves out the time that it waited for a core. Between two cells the process and all its threads
are stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
from concurrent.futures import Executor

from r1ray.errors import InfrastructureError
from r1ray.sandbox.cell import Cell, Ended, why_lost
from r1ray.sandbox.cell_clock import CellClock, ProcessTimes
from r1ray.sandbox.inside.session_child import DONE, LENGTH, RAISED, TOKEN
from r1ray.sandbox.inside.wire import Job
from r1ray.sandbox.session_slot import SessionLimits, SessionSlot, Started, has_ended

TICK_S = 0.1
MOST_SOURCE = 100_000
"""Most bytes of a cell's source."""
NOT_RUN = "The code of this call was not run"
GIVEN_UP = "a cell took too long, and nobody waited for it any more"
MOST_STRAY = 1 << 18
"""Most bytes that a cell may write to the pipe of answers without an answer among them."""


class Session:
    """One session. Cells are run one after the other."""

    def __init__(self, host: SessionSlot, limits: SessionLimits, ends: Executor) -> None:
        """Start the session, in this thread, which is the thread of ``ends``. Raises InfrastructureError."""
        self.name = secrets.token_hex(8)
        self._host, self._limits, self._ends = host, limits, ends
        self._process: Started = host.start_session(self.name, limits)
        self.turn = asyncio.Lock()
        """Lock that is held while a cell runs."""
        self.why_lost = ""
        """A sentence that says why the session has ended; empty while it has not."""
        self._times = ProcessTimes(self._process.pidfd)
        self._first_mib = self._times.memory_mib()
        self.memory_mib = 0.0
        """Memory that its cells had taken and not given back when it last came to rest."""
        self._rest()

    async def run(self, source: str) -> Cell:
        """Execute a cell, one at a time. Raises InfrastructureError if the fault is the machine's, not the cell's."""
        if self.why_lost:
            return Cell("lost", "", f"{self.why_lost}. {NOT_RUN}")
        data = source.encode("utf-8", "replace")
        if len(data) > MOST_SOURCE:
            return Cell("raised", f"A cell may have {MOST_SOURCE} bytes; this one has {len(data)}. It was not run.")
        try:
            return await self._run(data)
        except BaseException:  # the state of the process is unknown now
            if not self.why_lost:
                self.why_lost = GIVEN_UP
                await self._end()
            raise

    async def _run(self, source: bytes) -> Cell:
        token = secrets.token_bytes(TOKEN)
        os.lseek(self._process.output, 0, os.SEEK_SET)
        try:
            clock = CellClock(self._limits, self._times)
            self._host.tell("go", self.name)
            request = token + len(source).to_bytes(LENGTH, "big") + source
            is_sent = os.write(self._process.requests, request) == len(request)
            self._signal(signal.SIGCONT)
        except OSError:
            is_sent = False
        if not is_sent:
            return await self._lost("")
        answer = await self._answer(token, clock)
        if answer is None:
            return await self._lost(clock.up)
        self._rest()
        ended: Ended = clock.up or ("done" if answer == DONE else "raised")
        return Cell(ended, self._printed())

    async def _answer(self, token: bytes, clock: CellClock) -> bytes | None:
        """Return the answer to a token; None if there will be none and the process has to be ended."""
        arrived, loop = asyncio.Event(), asyncio.get_running_loop()
        reader = Reader(self._process.answers, token)
        loop.add_reader(self._process.answers, arrived.set)
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(TICK_S):
                        await arrived.wait()
                arrived.clear()
                answer = reader.read()
                if answer is not None:
                    return answer or None
                match clock.look():
                    case "interrupt":
                        self._signal(signal.SIGINT)
                    case "end":
                        return None
        finally:
            loop.remove_reader(self._process.answers)

    def _printed(self) -> str:
        size = os.lseek(self._process.output, 0, os.SEEK_CUR)
        data = os.pread(self._process.output, min(size, self._limits.output_kib * 1024), 0)
        return data.decode("utf-8", "replace")

    async def _lost(self, up: str) -> Cell:
        printed = self._printed()
        ended_itself = not up and await self._has_ended()
        if self.why_lost:  # ended by another caller's :meth:`end`, which waits for this cell
            return Cell("lost", printed, self.why_lost)
        self.why_lost = "its sandbox was lost"
        found = await self._end()
        if found is None:
            raise InfrastructureError(f"a session ended: {self.why_lost}")
        if up or ended_itself or found["is_over_quota"]:
            self.why_lost = why_lost(found["status"], up, found["is_over_quota"], self._limits)
        else:
            self.why_lost = "a cell closed a pipe of its interpreter, or wrote to it"
        return Cell("lost", printed, self.why_lost)

    async def _has_ended(self) -> bool:
        """Return whether the process has ended, a moment after the end of its pipe."""
        for _ in range(10):
            if has_ended(self._process.pidfd):
                return True
            await asyncio.sleep(0.05)
        return False

    async def end(self, why: str) -> None:
        """End the session, whatever it is doing. Later calls of :meth:`run` return ``why``. Idempotent."""
        if not self.why_lost:
            self.why_lost = why
            self._signal(signal.SIGKILL)
            async with self.turn:
                await self._end()

    async def _end(self) -> Job | None:
        """End the process and return the host's reply; None if the host is gone."""
        self._signal(signal.SIGKILL)
        try:
            ending = asyncio.get_running_loop().run_in_executor(self._ends, self._host.end_session, self.name)
            return await asyncio.shield(ending)
        except InfrastructureError:
            return None
        finally:
            self._process.close()

    def _rest(self) -> None:
        self._signal(signal.SIGSTOP)
        self._host.tell("rest", self.name)
        self.memory_mib = max(0.0, self._times.memory_mib() - self._first_mib)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._process.pidfd, number)


class Reader:
    """Reader of the answers of a process, which may write anything."""

    def __init__(self, answers: int, token: bytes) -> None:
        self._answers, self._token, self._stray, self._last = answers, token, 0, b""

    def read(self) -> bytes | None:
        """Return the answer to the token; empty if the pipe is closed or abused; None if there is no answer yet."""
        while self._stray < MOST_STRAY:
            try:
                data = os.read(self._answers, 1 << 16)
            except BlockingIOError:
                return None
            if not data:
                return b""
            self._stray += len(data)
            seen = self._last + data
            for answer in (DONE, RAISED):
                if self._token + answer in seen:
                    return answer
            self._last = seen[-TOKEN:]
        return b""
