"""Toolbox that serves the calls of a turn concurrently; each gets an answer, even if it fails.

calls --+--> tool --> result ----------------------+--> messages, rewards, errors
        +--> malformed, unknown, wrong, late ------+
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from r1ray.environments.tools.results import result_of
from r1ray.errors import InfrastructureError, ToolFailed, UserError, first_of
from r1ray.interfaces import Tool
from r1ray.runtime.harmless import harmless
from r1ray.runtime.own_code import Raised, guarded
from r1ray.turns import Message, ToolCall, ToolResult, ToolSchema

logger = logging.getLogger(__name__)

MAX_CALLS = 64
"""Largest number of calls of one turn that are served."""
MAX_RESULT_CHARS, LEAST_RESULT_CHARS = 16_384, 100
"""Default length of a result, and the least that may be set. Unit: characters."""
MAX_REASON = 500
_said: set[tuple[str, str]] = set()
"""Failures of tools that were logged, because one of each kind is enough."""


@dataclass(frozen=True, slots=True)
class Served:
    """Results of the calls of a turn."""

    messages: tuple[Message, ...]
    """One message for each call, in order."""
    rewards: Mapping[str, float] = field(default_factory=dict)
    """Reward parts that tools gave, summed over the calls."""
    num_errors: int = 0


class Toolbox:
    """Tools of one trajectory, by name."""

    def __init__(self, tools: Sequence[Tool], *, call_timeout_s: float, max_result_chars: int) -> None:
        """Raises UserError for a limit on results that is too small."""
        if not max_result_chars >= LEAST_RESULT_CHARS:
            raise UserError(f"max_result_chars={max_result_chars}: needs at least {LEAST_RESULT_CHARS} characters.")
        self._tools = {name_of(tool): tool for tool in tools}
        assert len(self._tools) == len(tools), "names are checked before"
        self._call_timeout_s, self._max_result_chars = call_timeout_s, max_result_chars
        self._num_served = self._num_errors = 0

    @property
    def schemas(self) -> tuple[ToolSchema, ...]:
        """Schemas of the tools offered to the policy."""
        return tuple(tool.schema for tool in self._tools.values())

    @property
    def counts(self) -> dict[str, float]:
        """Reward parts: the numbers of calls that were served so far, and of those that were not."""
        return {"tool_calls": float(self._num_served), "tool_errors": float(self._num_errors)}

    async def serve(self, calls: Sequence[ToolCall]) -> Served:
        """Answer the calls of a turn. Raises InfrastructureError if a machine or a service failed."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._answer(call, index)) for index, call in enumerate(calls)]
        except BaseExceptionGroup as errors:
            raise first_of(errors) from errors
        answers = [task.result() for task in tasks]
        rewards: dict[str, float] = {}
        for part, value in (item for result, _ in answers for item in result.rewards.items()):
            rewards[part] = rewards.get(part, 0.0) + value
        messages = (
            Message("tool", result.content, tool=call.name, call_id=call.id)
            for call, (result, _) in zip(calls, answers, strict=True)
        )
        num_errors = sum(is_error for _, is_error in answers)
        self._num_errors += num_errors
        self._num_served += len(calls) - num_errors
        return Served(tuple(messages), rewards, num_errors)

    async def _answer(self, call: ToolCall, index: int) -> tuple[ToolResult, bool]:
        """Return the result of a call, and whether it is an error."""
        try:
            if index >= MAX_CALLS:
                raise ToolFailed(f"{MAX_CALLS} calls of a turn are served, and this is one more")
            return result_of(await self._call(call), max_chars=self._max_result_chars), False
        except ToolFailed as error:
            return result_of(f"Error: {error}", max_chars=self._max_result_chars), True

    async def _call(self, call: ToolCall) -> object:
        """Return a tool's result. Raises ToolFailed with a sentence for the policy, and InfrastructureError."""
        if call.problem:
            raise ToolFailed(call.problem)
        tool = self._tools.get(call.name)
        if tool is None:
            known = ", ".join(self._tools) or "none"
            raise ToolFailed(f"there is no tool {call.name[:100]!r}. The tools are: {known}.")
        task = asyncio.ensure_future(guarded(tool.call(call.arguments)))
        try:
            done, _ = await asyncio.wait([task], timeout=self._call_timeout_s)
        finally:
            task.cancel()  # a task that swallows it is left behind
        if not done:
            raise ToolFailed(f"{call.name} gave no answer within {self._call_timeout_s:g} s")
        return _outcome(call.name, task)


def name_of(tool: Tool) -> str:
    """Return the name of a tool."""
    return str(tool.schema["function"]["name"])


def _outcome(name: str, task: asyncio.Future[object]) -> object:
    try:
        return task.result()
    except Raised as raised:
        error = raised.error
    if isinstance(error, ToolFailed | InfrastructureError):
        raise error
    _say_once(name, error)
    raise ToolFailed(f"{name} failed: {type(error).__name__}: {str(error)[:MAX_REASON]}") from error


def _say_once(name: str, error: BaseException) -> None:
    kind = type(error).__name__
    if (name, kind) not in _said:
        _said.add((name, kind))
        shown = harmless("".join(traceback.format_exception(error)))
        logger.warning(f"the tool {name} failed; the policy is told, and this is logged once:\n{shown}")


async def close_all(closes: Sequence[Callable[[], object]]) -> None:
    """Close all of them, even if some fail."""
    for close in closes:
        with contextlib.suppress(Exception):
            outcome = close()
            if asyncio.iscoroutine(outcome):
                await outcome
