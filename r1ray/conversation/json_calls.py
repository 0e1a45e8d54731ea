"""Calls whose arguments are JSON: whole objects, or a name and then its arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from r1ray.conversation.calls import call_of, json_end, malformed, parsed_json, read_between, with_arguments
from r1ray.turns import ToolCall, ToolSchema


@dataclass(frozen=True, slots=True)
class JsonCalls:
    """Calls as JSON objects between two marks: ``<tool_call>{"name": ..., "arguments": {...}}</tool_call>``, or a list
    of them. Without marks, the whole text is one."""

    opening: str
    closing: str
    name_key: str = "name"
    arguments_key: str = "arguments"

    def read(self, text: str, tools: Sequence[ToolSchema]) -> tuple[str, tuple[ToolCall, ...]]:
        if self.opening:
            return read_between(text, self.opening, self.closing, self._one)
        whole = text.strip()
        if not whole.startswith("{") or f'"{self.name_key}"' not in whole:
            return text, ()
        return "", tuple(self._calls(whole, whole))

    def _one(self, text: str) -> tuple[int | None, list[ToolCall]]:
        length, written = until_mark(text, self.closing, self.opening)
        return length, self._calls(written, f"{self.opening}{text[:length]}")

    def _calls(self, written: str, text: str) -> list[ToolCall]:
        try:
            value = parsed_json(written)
        except ValueError as error:
            return [malformed(text, f"it is no valid JSON: {error}")]
        values = value if isinstance(value, list) and value else [value]
        return [call_of(each, text, self.name_key, self.arguments_key) for each in values]


@dataclass(frozen=True, slots=True)
class NamedJsonCalls:
    """Calls as a name, a mark, and arguments as a JSON object: ``[TOOL_CALLS]name[ARGS]{...}``."""

    opening: str
    between: str
    closing: str

    def read(self, text: str, tools: Sequence[ToolSchema]) -> tuple[str, tuple[ToolCall, ...]]:
        return read_between(text, self.opening, self.closing, self._one)

    def _one(self, text: str) -> tuple[int | None, list[ToolCall]]:
        name, found, rest = text.partition(self.between)
        length, written = until_mark(rest if found else text, self.closing, self.opening)
        if length is None:
            return None, []
        length += len(text) - len(rest) if found else 0
        whole = f"{self.opening}{text[:length]}"
        if not found:
            return length, [malformed(whole, f"no {self.between} follows its name")]
        try:
            return length, [with_arguments(name, parsed_json(written), whole)]
        except ValueError as error:
            return length, [malformed(whole, f"its arguments are no valid JSON: {error}", name=name.strip())]


def until_mark(text: str, mark: str, opening: str) -> tuple[int | None, str]:
    """Return the length of a text that begins with a JSON value up to the end of a mark, and the text before the mark.
    Texts in the value may contain the mark. The length is None if there is no mark before another call opens. Without a
    mark, the text ends with the value."""
    begin = len(text) - len(text.lstrip())
    after = json_end(text, begin)
    if not mark:
        return (len(text), text) if after is None else (after, text[:after])
    end = text.find(mark, begin if after is None else after)
    is_closed = end >= 0 and (after is not None or opening not in text[:end])
    return (end + len(mark), text[:end]) if is_closed else (None, text)
