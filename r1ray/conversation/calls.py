"""Calls in a policy's text: their limits, and the faults of malformed ones.

text --CallForm.read--> content, calls
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from r1ray.turns import ToolCall, ToolSchema

MAX_CALLS = 64
"""Number of calls of a turn that are read; the rest is one malformed call."""


class CallForm(Protocol):
    """The form in which a template writes calls."""

    def read(self, text: str, tools: Sequence[ToolSchema]) -> tuple[str, tuple[ToolCall, ...]]:
        """Return the text without calls, and the calls, including malformed ones."""
        ...


def read_between(
    text: str, opening: str, closing: str, one: Callable[[str], tuple[int | None, list[ToolCall]]]
) -> tuple[str, tuple[ToolCall, ...]]:
    """Return the text outside of marks, and the calls between them.

    Args:
        one: reads the text after an opening mark, and returns its length up to the end of its closing mark (None if it
            is not closed) and its calls.
    """
    content, calls, rest = "", list[ToolCall](), text
    while (start := rest.find(opening)) >= 0:
        content, rest = content + rest[:start], rest[start:]
        length, found = one(rest[len(opening) :])
        if length is None:
            following = rest.find(opening, len(opening))
            length = (following if following >= 0 else len(rest)) - len(opening)
            found = [malformed(rest[: len(opening) + length], f"it is not closed by {closing}")]
        if len(calls) >= MAX_CALLS:
            return content, (*calls, malformed(rest, f"a turn has {MAX_CALLS} calls at most"))
        calls += found
        rest = rest[len(opening) + length :]
    return content + rest, tuple(calls)


def call_of(value: object, text: str, name_key: str = "name", arguments_key: str = "arguments") -> ToolCall:
    """Return the call that a JSON value describes."""
    if not isinstance(value, Mapping):
        return malformed(text, f'it is no object {{"{name_key}": ..., "{arguments_key}": {{...}}}}')
    name = value.get(name_key)
    if not isinstance(name, str) or not name.strip():
        return malformed(text, f'it names no tool: needs "{name_key}"')
    return with_arguments(name, value.get(arguments_key, {}), text)


def with_arguments(name: str, arguments: object, text: str) -> ToolCall:
    """Return a call with these arguments, which have to be an object."""
    if not name.strip():
        return malformed(text, "it names no tool")
    if not isinstance(arguments, Mapping):
        return malformed(text, "its arguments are no object", name=name)
    return ToolCall(name.strip(), dict(arguments), text)


def malformed(text: str, problem: str, *, name: str = "") -> ToolCall:
    """Return a malformed call, with a sentence that tells the problem."""
    return ToolCall(name, {}, text, f"The call is malformed: {problem}.")


def json_end(text: str, start: int) -> int | None:
    """Return the end of the JSON value that begins at ``start``; None if there is none."""
    try:
        return _DECODER.raw_decode(text, start)[1]
    except (ValueError, RecursionError):
        return None


def parsed_json(text: str) -> Any:
    """Return the value of a JSON text. Raises ValueError with a short reason."""
    try:
        return _DECODER.decode(text.strip())
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key stands in it twice")
    return made


_DECODER = json.JSONDecoder(parse_constant=_no_constant, object_pairs_hook=_once)
