"""Tools of an MCP server, as tools of a world.

Each trajectory has its own session, because servers may keep state between calls. With ``shared``, all trajectories of
a process share one, for servers that are stateless and slow to start.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from mcp_types import (
    AudioContent,
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)
from mcp_types import Tool as Listed

from r1ray.environments.tools.json_schema import json_schema
from r1ray.environments.tools.mcp_session import Address, McpSession, SharedSession
from r1ray.environments.tools.results import text_of
from r1ray.environments.tools.schema import in_one_piece
from r1ray.environments.world_context import WorldContext
from r1ray.errors import ToolFailed, UserError
from r1ray.interfaces import Tool
from r1ray.turns import ToolSchema

START_TIMEOUT_S = 30.0


class McpTools:
    """All tools that a server offers."""

    def __init__(
        self,
        *,
        command: Sequence[str | int | float] = (),
        url: str = "",
        env: Mapping[str, object] | None = None,
        cwd: str | None = None,
        only: Sequence[str] = (),
        shared: bool = False,
        start_timeout_s: float = START_TIMEOUT_S,
        context: WorldContext | None = None,
    ) -> None:
        """Raises UserError.

        Args:
            command: starts a server that communicates over its standard input and output: ``[python, server.py]``.
            url: address of a running server, instead of the command: ``http://host:8000/mcp``.
            env: variables of the command's environment; it inherits only a few from this process.
            only: names of the tools to offer; empty: all.
            shared: use one session for all trajectories of a process.
        """
        if bool(command) == bool(url):
            raise UserError(f"mcp: has command={list(command)!r} and url={url!r}; needs one of them.")
        words = tuple(map(str, command))
        if isinstance(command, str) or not all(words):
            raise UserError(f"mcp: command={command!r}: needs a list of words, such as [python, server.py].")
        if not start_timeout_s > 0:
            raise UserError(f"mcp: start_timeout_s={start_timeout_s}: needs seconds above 0.")
        self._address = Address(words, url, {name: str(value) for name, value in (env or {}).items()}, cwd)
        self._only, self._start_timeout_s = tuple(only), start_timeout_s
        self._shared = self._of(context) if shared and context is not None else None
        self._session: McpSession | None = None

    async def open(self) -> list[Tool]:
        """Start the server, and return its tools. Raises UserError for tools that it does not have or with an invalid
        schema, and InfrastructureError if it does not start."""
        self._session = session = await self._begun()
        listed = {tool.name: tool for tool in session.tools}
        if missing := [name for name in self._only if name not in listed]:
            raise UserError(
                f"mcp: only={list(self._only)}: {self._address} has no {missing[0]}, but {', '.join(listed)}."
            )
        if not listed:
            raise UserError(f"mcp: {self._address} offers no tools.")
        return [McpTool(session, listed[name]) for name in self._only or listed]

    async def close(self) -> None:
        """End the session, or leave it to the other trajectories."""
        session, self._session = self._session, None
        if session is not None:
            await (session.close() if self._shared is None else self._shared.give_back(session))

    async def _begun(self) -> McpSession:
        if self._shared is None:
            return await McpSession.start(self._address, timeout_s=self._start_timeout_s)
        return await self._shared.lease(timeout_s=self._start_timeout_s)

    def _of(self, context: WorldContext) -> SharedSession:
        return context.shared(f"mcp {self._address!r}", lambda: SharedSession(self._address))


class McpTool:
    """A tool of a server."""

    def __init__(self, session: McpSession, listed: Listed) -> None:
        """Raises UserError if its schema is invalid."""
        try:
            parameters = in_one_piece(listed.input_schema)
            self._check = json_schema(parameters)
        except (KeyError, RecursionError, ValueError) as error:
            raise UserError(
                f"mcp: the schema of the tool {listed.name} of {session.address} is none: {error}."
            ) from error
        function = {"name": listed.name, "description": listed.description or "", "parameters": parameters}
        self.schema: ToolSchema = {"type": "function", "function": function}
        self._session, self._name = session, listed.name

    async def call(self, arguments: Mapping[str, Any]) -> str:
        """Return the text of the answer. Raises ToolFailed if the server rejects the call, and InfrastructureError if
        it is gone."""
        if problem := self._check.problem(dict(arguments)):
            raise ToolFailed(f"wrong arguments for {self._name}: {problem}")
        result = await self._session.call(self._name, arguments)
        text = text_of_result(result)
        if result.is_error:
            raise ToolFailed(text or f"{self._name} failed and does not say why")
        return text


def text_of_result(result: CallToolResult) -> str:
    """Return an answer as text; parts that are not text are named."""
    if not result.content and result.structured_content is not None:
        return text_of(result.structured_content)
    return "\n".join(map(_text_of_block, result.content))


def _text_of_block(block: Any) -> str:
    match block:
        case TextContent():
            return block.text
        case EmbeddedResource(resource=TextResourceContents(text=text)):
            return text
        case ResourceLink():
            return f"[{block.name}: {block.uri}]"
        case ImageContent() | AudioContent():
            return f"[{block.mime_type}, {len(base64.b64decode(block.data, validate=False))} bytes, is not shown]"
    return f"[{getattr(block, 'type', type(block).__name__)}, is not shown]"
