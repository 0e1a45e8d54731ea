"""Calls in what a policy wrote: where they begin and end, and what is wrong with one.

text --CallForm.read--> content, calls
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from r1ray.turns import ToolCall, ToolSchema


class CallForm(Protocol):
    """The form in which a template writes calls."""

    def read(self, text: str, tools: Sequence[ToolSchema]) -> tuple[str, tuple[ToolCall, ...]]:
        """Return the text without calls, and the calls, malformed ones among them."""
        ...


@dataclass(frozen=True, slots=True)
class JsonCalls:
    """Calls as JSON objects between two marks: ``<tool_call>{"name": ..., "arguments": {...}}</tool_call>``, or a list
    of them. Without marks the whole text is one."""

    opening: str
    closing: str
    name_key: str = "name"
    arguments_key: str = "arguments"

    def read(self, text: str, tools: Sequence[ToolSchema]) -> tuple[str, tuple[ToolCall, ...]]:
        if not self.opening:
            return self._bare(text)
        content, calls, rest = "", [], text
        while (start := rest.find(self.opening)) >= 0:
            content += rest[:start]
            length, found = self._one(rest[start:])
            calls += found
            rest = rest[start + length :]
        return content + rest, tuple(calls)

    def _bare(self, text: str) -> tuple[str, tuple[ToolCall, ...]]:
        whole = text.strip()
        if not whole.startswith("{") or f'"{self.name_key}"' not in whole:
            return text, ()
        return "", tuple(self._calls(whole, whole))

    def _one(self, text: str) -> tuple[int, list[ToolCall]]:
        """Return how much of a text, which begins with an opening mark, one pair of marks takes, and its calls."""
        start = len(self.opening)
        begin = start + len(text[start:]) - len(text[start:].lstrip())
        after = json_end(text, begin)  # a string in a call may spell the closing mark
        end = text.find(self.closing, begin if after is None else after) if self.closing else after or len(text)
        if end < 0:
            stop = text.find(self.opening, start)
            length = stop if stop >= 0 else len(text)
            return length, [malformed(text[:length], f"it is not closed by {self.closing}")]
        length = end + len(self.closing)
        return length, self._calls(text[start:end], text[:length])

    def _calls(self, written: str, text: str) -> list[ToolCall]:
        try:
            value = parsed_json(written)
        except ValueError as error:
            return [malformed(text, f"it is no valid JSON: {error}")]
        values = value if isinstance(value, list) and value else [value]
        return [call_of(each, text, self.name_key, self.arguments_key) for each in values]


def call_of(value: object, text: str, name_key: str = "name", arguments_key: str = "arguments") -> ToolCall:
    """Return a call from what its JSON says."""
    if not isinstance(value, Mapping):
        return malformed(text, f'it is no object {{"{name_key}": ..., "{arguments_key}": {{...}}}}')
    name = value.get(name_key)
    if not isinstance(name, str) or not name.strip():
        return malformed(text, f'it names no tool: needs "{name_key}"')
    return with_arguments(name, value.get(arguments_key, {}), text)


def with_arguments(name: str, arguments: object, text: str) -> ToolCall:
    """Return a call whose arguments have to be an object."""
    if not isinstance(arguments, Mapping):
        return malformed(text, "its arguments are no object", name=name)
    return ToolCall(name.strip(), dict(arguments), text)


def malformed(text: str, problem: str, *, name: str = "") -> ToolCall:
    """Return a call that says, in a sentence, what is wrong with it."""
    return ToolCall(name, {}, text, f"The call is malformed: {problem}.")


def json_end(text: str, start: int) -> int | None:
    """Return where the JSON value that begins at ``start`` ends; None where there is none."""
    try:
        return _DECODER.raw_decode(text, start)[1]
    except (ValueError, RecursionError):
        return None


def parsed_json(text: str) -> Any:
    """Return what a JSON text says. Raises ValueError, with a few words."""
    try:
        return _DECODER.decode(text.strip())
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)
