"""The tool ``python``: a code interpreter whose state is kept between the calls of a trajectory.

    call(code) --> the trajectory's session (sandbox/session.py) --> its output, its last value, its traceback

A session is opened at the first call and ends with the world. A call that times out, or that ends its session, counts
as an error of the policy. A machine that is too busy, or has no sandbox, is an InfrastructureError and never counts.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping, Sequence
from typing import Any

from r1ray.environments.world_context import WorldContext
from r1ray.errors import InfrastructureError, ToolFailed, UserError
from r1ray.sandbox.cell import Cell
from r1ray.sandbox.session import NOT_RUN, Session
from r1ray.sandbox.session_slot import SessionLimits
from r1ray.sandbox.sessions import Sessions, start_sessions
from r1ray.turns import ToolSchema

CALL_S = 20.0
"""Longest time for the answer to a call; :mod:`r1ray.environments.tool_world` waits no longer."""
OF_CALL = 0.9
"""Share of ``CALL_S`` after which the machine counts as too busy. A cell may wait half of that."""


class Python:
    """The interpreter of one trajectory."""

    def __init__(self, *, max_idle: int = 256, context: WorldContext | None = None) -> None:
        """Raises UserError.

        Args:
            max_idle: number of idle sessions that an environment worker keeps.
            context: context of the worker, whose trajectories share a host of sessions; None: this one has its own.
        """
        if isinstance(max_idle, bool) or not isinstance(max_idle, int) or max_idle < 1:
            raise UserError(f"tools: python takes max_idle={max_idle!r}: needs a whole number of sessions, 1 or more.")
        self._is_owner = context is None
        make = functools.partial(Interpreter, context or WorldContext(), max_idle=max_idle)
        self._interpreter: Interpreter = make() if context is None else context.shared(f"python {max_idle}", make)
        self.schema = schema_of(self._interpreter.packages)
        self._session: Session | None = None
        self._opening = asyncio.Lock()

    async def open(self) -> Sequence[Python]:
        """Prepare the sandbox. Raises SandboxUnavailable."""
        await self._interpreter.sessions()
        return [self]

    async def call(self, arguments: Mapping[str, Any]) -> str:
        """Run ``code``. Raises ToolFailed, InfrastructureError."""
        code = arguments.get("code")
        if set(arguments) != {"code"} or not isinstance(code, str):
            raise ToolFailed("python takes one argument, code, which is a text.")
        sessions = await self._interpreter.sessions()
        async with self._opening:
            session = self._session = self._session or await sessions.open()
        try:
            cell = await sessions.run(session, code)
        except InfrastructureError:
            self._forget(session)
            raise
        if cell.ended == "lost":
            self._forget(session)
        if cell.ended in ("cpu", "wall") or (cell.ended == "lost" and not cell.why.endswith(NOT_RUN)):
            raise ToolFailed(told(cell, self._interpreter.limits))
        return told(cell, self._interpreter.limits)

    def _forget(self, session: Session) -> None:
        """Make the next call begin another session; the end of this one was reported."""
        if self._session is session:
            self._session = None

    async def close(self) -> None:
        """End the session."""
        async with self._opening:
            session, self._session = self._session, None
        if session is not None:
            await (await self._interpreter.sessions()).end(session)
        if self._is_owner:
            await self._interpreter.close()


class Interpreter:
    """Sessions of an environment worker; created at the first call."""

    def __init__(self, context: WorldContext, *, max_idle: int) -> None:
        self._config = context.sandbox
        call_s = min(CALL_S, context.step_timeout_s / 2) * OF_CALL
        self.limits = SessionLimits(
            cpu_s=self._config.cpu_s,
            wall_s=call_s / 2,
            longest_s=call_s,
            total_cpu_s=self._config.total_cpu_s,
            memory_mib=self._config.memory_mib,
            file_kib=self._config.output_kib,
        )
        self.packages: Sequence[str] = self._config.packages
        self._max_idle, self._starting = max_idle, asyncio.Lock()
        self._sessions: Sessions | None = None

    async def sessions(self) -> Sessions:
        """Return the sessions. Raises SandboxUnavailable, and UserError for a package of ``sandbox.packages`` that is
        not installed."""
        async with self._starting:
            if self._sessions is None:
                self._sessions = await start_sessions(
                    limits=self.limits,
                    max_idle=self._max_idle,
                    mode=self._config.mode,
                    python=self._config.python,
                    allowed=self.packages,
                )
            return self._sessions

    async def close(self) -> None:
        if self._sessions is not None:
            await self._sessions.close()
            self._sessions = None


def schema_of(packages: Sequence[str]) -> ToolSchema:
    """Return the tool as offered to the policy, if these packages can be imported."""
    more = f", {', '.join(packages)}" if packages else ""
    code = {"type": "string", "description": "The code to run."}
    description = (
        "Run Python code. What it prints and the value of its last line come back. Variables, functions, imports and "
        f"files of earlier calls are still there. It has the standard library{more}, and no network."
    )
    parameters = {"type": "object", "properties": {"code": code}, "required": ["code"], "additionalProperties": False}
    return {"type": "function", "function": {"name": "python", "description": description, "parameters": parameters}}


def told(cell: Cell, limits: SessionLimits) -> str:
    """Return the text for the policy about a cell."""
    interrupted = "and was interrupted. What it had defined is kept."
    notes = {
        "cpu": f"[The code had computed for {limits.cpu_s:g} s {interrupted}]",
        "wall": f"[The code had run for {limits.wall_s:g} s {interrupted}]",
        "lost": f"[The session has ended: {cell.why}. Variables, imports and files are gone.]",
    }
    printed = cell.output.rstrip("\n")
    return "\n".join(filter(None, (printed, notes.get(cell.ended)))) or "[no output]"
