"""World that offers tools: it serves the calls of a turn, and ends at the first turn without a call.

The text of the last turn is judged. The world gives the reward parts ``tool_calls`` (calls that were served) and
``tool_errors`` (calls that were not), and the parts that tools give for a call.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from r1ray.environments.tools.named import Entry, ToolSet, check_names, make_tools
from r1ray.environments.tools.toolbox import MAX_RESULT_CHARS, Toolbox, close_all
from r1ray.environments.world_context import WorldContext
from r1ray.errors import InfrastructureError, UserError
from r1ray.interfaces import Tool
from r1ray.turns import Action, Done, Message, Observation
from r1ray.types import Prompt

CALL_TIMEOUT_S = 20.0


class ToolEnvironment:
    """Tools, and a conversation that ends when the policy calls none."""

    def __init__(
        self,
        *,
        tools: Sequence[Entry],
        call_timeout_s: float | None = None,
        max_result_chars: int = MAX_RESULT_CHARS,
        context: WorldContext | None = None,
    ) -> None:
        """Raises UserError.

        Args:
            tools: see :mod:`r1ray.environments.tools.named`.
            call_timeout_s: seconds after which the policy is told that a call gave no answer. Less than
                ``environment.step_timeout_s``; None: 20, or half of that.
            max_result_chars: longer results lose their middle.
        """
        limit_s = math.inf if context is None else context.step_timeout_s
        if call_timeout_s is None:
            call_timeout_s = min(CALL_TIMEOUT_S, limit_s / 2)
        if not 0 < call_timeout_s < limit_s:
            raise UserError(
                f"call_timeout_s={call_timeout_s}: needs more than 0 s, and less than environment.step_timeout_s, "
                f"{limit_s:g} s."
            )
        self._limits: dict[str, Any] = {"call_timeout_s": call_timeout_s, "max_result_chars": max_result_chars}
        self._box = Toolbox([], **self._limits)
        self._made = make_tools(tools, context=context)

    async def check(self) -> None:
        """Open the tools and close them again. Raises UserError if one is not available."""
        try:
            await self._open()
        except InfrastructureError as error:
            raise UserError(str(error)) from error
        finally:
            await self.close()

    async def reset(self, prompt: Prompt, seed: int) -> Observation:
        """Return the prompt, and the tools."""
        self._box = Toolbox(await self._open(), **self._limits)
        return Observation(messages=prompt.messages or (Message("user", prompt.text),), tools=self._box.schemas)

    async def step(self, action: Action) -> Observation | Done:
        """Serve the calls of a turn; without calls, the trajectory has ended."""
        if not action.calls:
            return Done(rewards=self._box.counts, label="answered" if action.content.strip() else "no_answer")
        served = await self._box.serve(action.calls)
        return Observation(messages=served.messages, rewards=served.rewards, num_errors=served.num_errors)

    async def close(self) -> None:
        """Close the tools that hold resources."""
        await close_all([tool.close for tool in self._made if hasattr(tool, "close")])

    async def _open(self) -> list[Tool]:
        tools: list[Tool] = []
        for made in self._made:
            tools += await made.open() if isinstance(made, ToolSet) else [made]
        check_names(tools)
        return tools


def calculator(
    *,
    context: WorldContext | None = None,
    call_timeout_s: float | None = None,
    max_result_chars: int = MAX_RESULT_CHARS,
) -> ToolEnvironment:
    """Return a world with a calculator."""
    return ToolEnvironment(
        tools=["calculator"],
        call_timeout_s=call_timeout_s,
        max_result_chars=max_result_chars,
        context=context,
    )


def python(
    *,
    context: WorldContext | None = None,
    call_timeout_s: float | None = None,
    max_result_chars: int = MAX_RESULT_CHARS,
    max_idle: int = 256,
) -> ToolEnvironment:
    """Return a world with a code interpreter."""
    return ToolEnvironment(
        tools=[{"name": "python", "max_idle": max_idle}],
        call_timeout_s=call_timeout_s,
        max_result_chars=max_result_chars,
        context=context,
    )


def search(
    *,
    corpus: str,
    context: WorldContext | None = None,
    call_timeout_s: float | None = None,
    max_result_chars: int = MAX_RESULT_CHARS,
    **options: Any,
) -> ToolEnvironment:
    """Return a world that searches a corpus; further options are those of the tool."""
    return ToolEnvironment(
        tools=[{"name": "search", "corpus": corpus, **options}],
        call_timeout_s=call_timeout_s,
        max_result_chars=max_result_chars,
        context=context,
    )


def mcp(
    *,
    context: WorldContext | None = None,
    call_timeout_s: float | None = None,
    max_result_chars: int = MAX_RESULT_CHARS,
    **options: Any,
) -> ToolEnvironment:
    """Return a world with the tools of an MCP server; further options are those of the tool."""
    return ToolEnvironment(
        tools=[{"name": "mcp", **options}],
        call_timeout_s=call_timeout_s,
        max_result_chars=max_result_chars,
        context=context,
    )
