"""A session with an MCP server, over its standard input and output or over HTTP.

    owner task:  start the server, list its tools ---- wait for the end ---- close the session, end the process
    callers:     a task each, which waits for the server's answer or for the end of the owner

In the SDK, the task that opened a session has to close it, and an HTTP server that dies cancels the tasks that wait for
it. Therefore only the owner task and separate tasks of the callers touch a session.
"""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, Any

from mcp import Client, MCPError, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp_types import CONNECTION_CLOSED, CallToolResult, Tool
from pydantic import ValidationError

from r1ray.errors import InfrastructureError, ToolFailed, first_of
from r1ray.runtime.harmless import harmless
from r1ray.runtime.leftovers import VARIABLE

CLOSE_S = 15.0
"""Longest wait for a session to close. The SDK waits 2 s for a server to end by itself, 2 s more after SIGTERM, then
kills its processes."""
PING_S = 5.0
"""Longest wait for a server to show that it is alive after it did not answer a call."""
MAX_PAGES = 100
_INHERITED = ("TMPDIR", VARIABLE)
"""Environment variables that a server gets beside PATH, HOME, USER, LOGNAME, SHELL and TERM: the folder for its files,
and the mark by which it is found if it outlives the command."""
_NUM_SAID = 2000


@dataclass(frozen=True, slots=True)
class Address:
    """Address of a server: a command, or the URL of a running one."""

    command: tuple[str, ...] = ()
    url: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    """Further variables of the command's environment."""
    cwd: str | None = None

    def __str__(self) -> str:
        return f"the MCP server {self.url or ' '.join(self.command)}"


class InShort(logging.Filter):
    """Log filter for servers that print text where their messages belong: the SDK's log about it is replaced by one
    sentence."""

    def __init__(self) -> None:
        super().__init__()
        self._is_said = False

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, ValidationError):
            return True
        first, self._is_said, is_said = str(error.errors()[0]["input"]), True, self._is_said
        record.msg = (
            f"an MCP server printed {harmless(first[:100])!r} to its standard output, where messages belong: it has to "
            "print such things to its standard error. It is passed over; further text is, in silence"
        )
        record.args, record.exc_info, record.exc_text = (), None, None
        return not is_said


logging.getLogger("mcp.client.stdio").addFilter(InShort())


class McpSession:
    """An open session. Make it by :meth:`start`."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._is_suspect = False
        """True if a call was given up, so that the server may hang."""
        self._end = asyncio.Event()
        self._opened: asyncio.Future[tuple[Client, Sequence[Tool]]] = asyncio.get_running_loop().create_future()
        self._owner = asyncio.create_task(self._own())
        self._calls: set[asyncio.Task[CallToolResult]] = set()

    @classmethod
    async def start(cls, address: Address, *, timeout_s: float) -> McpSession:
        """Return a session with a server that has listed its tools. Raises InfrastructureError, with the server's
        output, if it does not start or does not answer within ``timeout_s``."""
        session = cls(address)
        try:
            await asyncio.wait([session._opened], timeout=timeout_s)
            if not session._opened.done():
                raise InfrastructureError(f"{address} did not answer within {timeout_s:g} s after its start")
            session._opened.result()
        except BaseException:
            await session.close()
            raise
        return session

    @property
    def tools(self) -> Sequence[Tool]:
        """Tools that the server offers."""
        return self._opened.result()[1]

    @property
    def has_ended(self) -> bool:
        """True if calls are no longer possible."""
        return self._owner.done() or self._end.is_set()

    async def call(self, name: str, arguments: Mapping[str, Any]) -> CallToolResult:
        """Return the answer of a tool. Raises ToolFailed for a call that the server refuses, and InfrastructureError if
        the server is gone. Time limits cancel this call, and the session continues."""
        client, _ = self._opened.result()
        call = asyncio.create_task(client.call_tool(name, dict(arguments)))
        self._calls.add(call)
        call.add_done_callback(self._ended)
        try:
            await asyncio.wait([call, self._owner], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._is_suspect = True
            raise
        finally:
            call.cancel()
        if not call.done() or call.cancelled():
            raise self._gone()
        error = call.exception()
        if isinstance(error, MCPError) and error.code != CONNECTION_CLOSED and not self._owner.done():
            raise ToolFailed(str(error)) from error
        if isinstance(error, MCPError | OSError | BaseExceptionGroup):
            raise self._gone() from error
        return call.result()

    async def close(self) -> None:
        """End the session, and also the server if the session started it."""
        self._end.set()
        if not self._opened.done():  # the start may never end by itself
            self._owner.cancel()
        await asyncio.wait([self._owner], timeout=CLOSE_S)
        self._owner.cancel()
        if self._opened.done() and not self._opened.cancelled():
            self._opened.exception()  # otherwise asyncio complains that it was never retrieved

    async def serves(self) -> bool:
        """Return whether the next trajectory can use the session; if a call was given up, the server is pinged."""
        if self._is_suspect and not self.has_ended:
            client, _ = self._opened.result()
            asked = asyncio.create_task(client.list_tools(cache_mode="bypass"))
            await asyncio.wait([asked, self._owner], timeout=PING_S, return_when=asyncio.FIRST_COMPLETED)
            self._is_suspect = not asked.done() or asked.cancelled() or asked.exception() is not None
            asked.cancel()
        return not self.has_ended and not self._is_suspect

    def _gone(self) -> InfrastructureError:
        self._end.set()
        return InfrastructureError(f"{self.address} has ended in the middle of a session")

    def _ended(self, call: asyncio.Task[CallToolResult]) -> None:
        self._calls.discard(call)
        if not call.cancelled():
            call.exception()

    async def _own(self) -> None:
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as printed:
            try:
                async with Client(self._server(printed)) as client:
                    self._opened.set_result((client, await _listed(client)))
                    await self._end.wait()
            except BaseException as error:
                if not self._opened.done():
                    self._opened.set_exception(self._not_started(error, printed))
                if isinstance(error, asyncio.CancelledError) and not self._end.is_set():
                    raise

    def _server(self, printed: IO[str]) -> Any:
        if self.address.url:
            return self.address.url
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        program, *arguments = self.address.command
        return stdio_client(
            StdioServerParameters(
                command=program, args=arguments, env={**inherited, **self.address.env}, cwd=self.address.cwd
            ),
            errlog=printed,  # type: ignore[arg-type]
        )

    def _not_started(self, error: BaseException, printed: IO[str]) -> InfrastructureError:
        cause = first_of(error) if isinstance(error, BaseExceptionGroup) else error
        said = ""
        with suppress(OSError, ValueError):
            printed.seek(0)
            said = printed.read()[-_NUM_SAID:].strip()
        return InfrastructureError(
            f"{self.address} does not start: {type(cause).__name__}: {cause}"
            + (f". It printed:\n{said}" if said else "")
        )


async def _listed(client: Client) -> list[Tool]:
    tools: list[Tool] = []
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        page = await client.list_tools(cursor=cursor)
        tools += page.tools
        cursor = page.next_cursor
        if not cursor:
            break
    return tools


class SharedSession:
    """One session for all trajectories of a process: started for the first one, and restarted when needed after its
    end."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._starting = asyncio.Lock()
        self._session: McpSession | None = None
        self._num_users: dict[McpSession, int] = {}

    async def lease(self, *, timeout_s: float) -> McpSession:
        """Return a working session, to be returned by :meth:`give_back`. Raises InfrastructureError."""
        async with self._starting:
            if self._session is None or not await self._session.serves():
                self._session = await McpSession.start(self._address, timeout_s=timeout_s)
            session = self._session
            self._num_users[session] = self._num_users.get(session, 0) + 1
        return session

    async def give_back(self, session: McpSession) -> None:
        """Close a session that no trajectory uses, unless it may be leased again."""
        if session not in self._num_users:  # all sessions were closed
            return
        self._num_users[session] -= 1
        if self._num_users[session] == 0 and (session is not self._session or session.has_ended):
            del self._num_users[session]
            await session.close()

    async def close(self) -> None:
        """Close every session, including those in use."""
        held = {*self._num_users, *([] if self._session is None else [self._session])}
        self._num_users.clear()
        await asyncio.gather(*(session.close() for session in held))
