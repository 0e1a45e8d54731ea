"""World on an OpenEnv server, through its WebSocket protocol; the package openenv is not needed.

    {"type": "reset", "data": {"seed"}}  -->                                     one connection a trajectory
    {"type": "step", "data": action}     -->  <-- {"type": "observation", "data": {"observation", "reward", "done"}}
                                              <-- {"type": "error", "data": {"code", "message"}}

The policy acts by one tool, ``act``, with the server's schema. The reward part is ``openenv``: the server's rewards for
the steps of each turn. A turn without a call ends the trajectory.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidURI, WebSocketException

from r1ray.environments.tools.json_schema import JsonSchema, json_schema
from r1ray.environments.tools.results import result_of
from r1ray.environments.tools.schema import in_one_piece
from r1ray.environments.world_context import WorldContext
from r1ray.errors import InfrastructureError, ToolFailed, UserError
from r1ray.runtime.own_code import Raised, in_thread
from r1ray.turns import Action, Done, Message, Observation, ToolCall, ToolSchema
from r1ray.types import Prompt

ACT, PART = "act", "openenv"
TIMEOUT_S = 30.0
MAX_MESSAGE = 2**24
CLOSE_S = 2.0
MAX_CHARS = 16_384
NOT_THE_SERVERS = "VALIDATION_ERROR"
"""Error code of an invalid action; the other codes are failures of the server."""
_NO_ARGUMENTS = {"type": "object", "properties": {}}


class OpenEnv:
    """A session with a server."""

    def __init__(self, *, url: str, timeout_s: float | None = None, context: WorldContext | None = None) -> None:
        """Raises UserError.

        Args:
            url: address of the server, ``http://host:8000``.
            timeout_s: longest wait for an answer, after which the trajectory begins again, and longest time within
                which the actions of a turn begin. None: 30, or half of ``environment.step_timeout_s``.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https", "ws", "wss") or not parts.netloc:
            raise UserError(f"openenv: url={url}: needs the address of a server, such as http://host:8000.")
        longest_s = math.inf if context is None else context.step_timeout_s / 2
        timeout_s = min(TIMEOUT_S, longest_s) if timeout_s is None else timeout_s
        if not 0 < timeout_s <= longest_s:
            raise UserError(
                f"openenv: timeout_s={timeout_s}: needs more than 0 s, and at most half of environment.step_timeout_s, "
                f"{longest_s:g} s."
            )
        self._host = f"{parts.netloc}{parts.path.rstrip('/').removesuffix('/ws')}"
        self._secure = "s" if parts.scheme in ("https", "wss") else ""
        self._timeout_s = timeout_s
        self._connection: ClientConnection | None = None
        self._check = JsonSchema({})

    async def check(self) -> None:
        """Begin a session and end it. Raises UserError if the server does not answer."""
        try:
            await self._schema()
            await self._begun(0)
        except InfrastructureError as error:
            raise UserError(str(error)) from error
        finally:
            await self.close()

    async def reset(self, prompt: Prompt, seed: int) -> Observation:
        """Return the prompt followed by the first observation, and the tool. Raises InfrastructureError."""
        schema = await self._schema()
        self._check = json_schema(schema["function"]["parameters"])
        data = await self._begun(seed)
        messages = prompt.messages or (Message("user", prompt.text),)
        last, seen = messages[-1], _text_of(data)
        return Observation(
            messages=(*messages[:-1], replace(last, content=f"{last.content}\n\n{seen}".strip())), tools=(schema,)
        )

    async def step(self, action: Action) -> Observation | Done:
        """Take the actions of a turn, one after the other. Raises InfrastructureError if the server fails."""
        if not action.calls:
            return Done(label="stopped")
        messages: list[Message] = []
        reward, num_errors = 0.0, 0
        ends = time.monotonic() + self._timeout_s
        for call in action.calls:
            try:
                if time.monotonic() > ends:
                    raise ToolFailed(f"the calls of a turn have to begin within {self._timeout_s:g} s")
                data = await self._act(call)
            except ToolFailed as error:
                num_errors += 1
                messages.append(_result(call, f"Error: {error}"))
                continue
            reward += float(data.get("reward") or 0.0)
            messages.append(_result(call, _text_of(data)))
            if data.get("done"):
                detail = messages[-1].content[:300]
                return Done(turn_rewards={PART: reward}, label="done", detail=detail, num_errors=num_errors)
        return Observation(messages=tuple(messages), rewards={PART: reward}, num_errors=num_errors)

    async def close(self) -> None:
        """End the session."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _act(self, call: ToolCall) -> Mapping[str, Any]:
        """Return the server's answer to an action. Raises ToolFailed for an invalid action, and InfrastructureError."""
        if call.problem:
            raise ToolFailed(call.problem)
        if call.name != ACT:
            raise ToolFailed(f"there is no tool {call.name[:100]!r}. The tools are: {ACT}.")
        if problem := self._check.problem(dict(call.arguments)):
            raise ToolFailed(f"wrong arguments for {ACT}: {problem}")
        return await self._asked("step", dict(call.arguments))

    async def _begun(self, seed: int) -> Mapping[str, Any]:
        try:
            self._connection = await connect(
                f"ws{self._secure}://{self._host}/ws",
                max_size=MAX_MESSAGE,
                open_timeout=self._timeout_s,
                close_timeout=CLOSE_S,
                ping_interval=None,  # a busy server does not answer pings, and each step has a deadline
            )
        except (OSError, TimeoutError, InvalidURI, WebSocketException) as error:
            raise self._failed(f"cannot be reached: {_named(error)}") from error
        return await self._asked("reset", {"seed": seed})

    async def _asked(self, kind: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the observation that answers a message. Raises ToolFailed and InfrastructureError."""
        if self._connection is None:
            raise self._failed("has no session")
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._connection.send(json.dumps({"type": kind, "data": data}))
                answer = json.loads(await self._connection.recv())
            found, answered = answer["data"], answer["type"]
        except TimeoutError as error:
            raise self._failed(f"gave no answer to {kind} within {self._timeout_s:g} s") from error
        except (OSError, WebSocketException) as error:
            raise self._failed(f"ended the session in {kind}: {_named(error)}") from error
        except (KeyError, RecursionError, TypeError, ValueError) as error:
            raise self._failed(f"answered {kind} with something that is not a message: {_named(error)}") from error
        if answered == "observation" and isinstance(found, Mapping):
            return found
        if kind == "step" and isinstance(found, Mapping) and found.get("code") == NOT_THE_SERVERS:
            raise ToolFailed(f"the action is no good: {str(found.get('message', ''))[:300]}")
        raise self._failed(f"answered {kind} with {str(answered)[:50]}: {str(found)[:300]}")

    async def _schema(self) -> ToolSchema:
        """Return the tool. Raises InfrastructureError if the server does not describe an action."""
        address = f"http{self._secure}://{self._host}/schema"
        if address not in _schemas:
            try:
                told = json.loads(await in_thread(_fetched, address, self._timeout_s, name="openenv"))
                _schemas[address] = _tool(told.get("action", told))
            except Raised as raised:
                raise self._failed(f"does not answer: {_named(raised.error)}") from raised
            except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
                raise self._failed(f"has no JSON schema of an action at /schema: {_named(error)}") from error
        return _schemas[address]

    def _failed(self, what: str) -> InfrastructureError:
        return InfrastructureError(f"the OpenEnv server at {self._host} {what}")


_schemas: dict[str, ToolSchema] = {}
"""Schemas of actions, by the servers that this process has asked."""


def _fetched(address: str, timeout_s: float) -> bytes:
    with urllib.request.urlopen(address, timeout=timeout_s) as answer:
        body: bytes = answer.read(MAX_MESSAGE)
    return body


def _tool(schema: Mapping[str, Any]) -> ToolSchema:
    """Return the tool for the schema of an action. Raises ValueError if the schema is invalid."""
    parameters = {**_NO_ARGUMENTS, **in_one_piece(schema)}
    properties: Mapping[str, Any] = parameters["properties"]
    parameters["properties"] = {name: each for name, each in properties.items() if name != "metadata"}
    description = str(parameters.pop("description", "") or "Take an action.")
    json_schema(parameters)
    return {"type": "function", "function": {"name": ACT, "description": description, "parameters": parameters}}


def _result(call: ToolCall, text: str) -> Message:
    return Message("tool", text, tool=call.name, call_id=call.id)


def _text_of(data: Mapping[str, Any]) -> str:
    return result_of(data.get("observation"), max_chars=MAX_CHARS).content


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:300]}"
