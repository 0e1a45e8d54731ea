"""Function calling: a row's tools are offered, and one turn's calls are compared with those that the row expects.

The reward part is ``calls``: 1 if the policy made all expected calls and no other, otherwise 0. If a row expects no
calls, a turn without calls is right. Nothing is executed.
"""

from __future__ import annotations

from collections.abc import Sequence

from r1ray.environments.tools.call_equality import num_matched
from r1ray.environments.tools.row_tools import Expected, expected_calls, row_tools
from r1ray.errors import UnscorableError
from r1ray.turns import Action, Done, Message, Observation, ToolCall, ToolSchema
from r1ray.types import Prompt


class FunctionCalling:
    """One turn, judged by its calls."""

    def __init__(self) -> None:
        self._tools: Sequence[ToolSchema] = ()
        self._expected: Sequence[Expected] = ()

    def row_problem(self, prompt: Prompt) -> str | None:
        """Return the reason why a row cannot be used; None if it can."""
        try:
            row_tools(prompt.columns)
            expected_calls(prompt.columns)
        except ValueError as error:
            return str(error)
        return None

    async def reset(self, prompt: Prompt, seed: int) -> Observation:
        """Return the prompt, and the row's tools. Raises UnscorableError."""
        try:
            self._tools, self._expected = row_tools(prompt.columns), expected_calls(prompt.columns)
        except ValueError as error:
            raise UnscorableError(f"row {prompt.id}: {error}") from error
        return Observation(messages=prompt.messages or (Message("user", prompt.text),), tools=tuple(self._tools))

    async def step(self, action: Action) -> Done:
        """Judge the calls of the turn."""
        num_right = num_matched(self._expected, action.calls, self._tools)
        is_right = num_right == len(self._expected) == len(action.calls)
        num_malformed = sum(bool(call.problem) for call in action.calls)
        return Done(
            rewards={"calls": float(is_right)},
            label="correct" if is_right else self._label(action.calls),
            detail=f"{num_right} of {len(self._expected)} expected calls, and {len(action.calls) - num_right} others",
            num_errors=num_malformed,
        )

    async def close(self) -> None: ...

    def _label(self, calls: Sequence[ToolCall]) -> str:
        """Return a word for the fault."""
        if any(call.problem for call in calls):
            return "malformed"
        if not calls:
            return "no_call"
        if len(calls) != len(self._expected):
            return "missing_calls" if len(calls) < len(self._expected) else "extra_calls"
        if sorted(call.name for call in calls) != sorted(each.name for each in self._expected):
            return "wrong_tool"
        return "wrong_arguments"
