"""Calls with arguments between marks, each with its name: ``<parameter=key>value</parameter>``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from r1ray.conversation.calls import malformed, parsed_json, read_between
from r1ray.turns import ToolCall, ToolSchema


@dataclass(frozen=True, slots=True)
class TaggedCalls:
    """Calls of the form ``opening before_name NAME after_name (before_key KEY after_key VALUE after_value)* after_last
    closing``. Blanks around marks are ignored, but for those of a value beyond one line break on each side."""

    opening: str
    before_name: str
    after_name: str
    before_key: str
    after_key: str
    after_value: str
    after_last: str
    closing: str

    def read(self, text: str, tools: Sequence[ToolSchema]) -> tuple[str, tuple[ToolCall, ...]]:
        types = {each["function"]["name"]: _types(each) for each in tools}
        return read_between(text, self.opening, self.closing, lambda rest: self._one(rest, types))

    def _one(self, text: str, types: Mapping[str, Mapping[str, Any]]) -> tuple[int | None, list[ToolCall]]:
        length, written = self._until_closing(text)
        if length is None:
            return None, []
        whole = f"{self.opening}{text[:length]}"
        named = written.strip()
        head, stop, rest = named.partition(self.after_name or self.before_key)
        name = head.removeprefix(self.before_name).strip()
        if not head.startswith(self.before_name) or not name or "\n" in name or (self.after_name and not stop):
            return length, [malformed(whole, f"{self.before_name or self.opening}NAME{self.after_name} is missing")]
        rest = rest if self.after_name else f"{stop}{rest}"
        try:
            return length, [ToolCall(name, self._arguments(rest, types.get(name, {})), whole)]
        except ValueError as error:
            return length, [malformed(whole, str(error), name=name)]

    def _until_closing(self, text: str) -> tuple[int | None, str]:
        """Return the length up to the end of the closing mark after the last whole argument, whose value may contain
        the mark."""
        at, end = 0, text.find(self.closing)
        while end >= 0 and 0 <= (key := text.find(self.before_key, at)) < end:
            value = text.find(self.after_value, key)
            at = value + len(self.after_value) if value >= 0 else end
            end = text.find(self.closing, at)
        return (None, text) if end < 0 else (end + len(self.closing), text[:end])

    def _arguments(self, text: str, types: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments. Raises ValueError with a short reason."""
        made: dict[str, Any] = {}
        rest = text.strip()
        while rest.startswith(self.before_key):
            key, found, rest = rest[len(self.before_key) :].partition(self.after_key)
            value, closed, rest = rest.partition(self.after_value)
            if not found or not closed:
                raise ValueError(f"an argument is not closed by {self.after_value if found else self.after_key}")
            if key.strip() in made:
                raise ValueError(f"the argument {key.strip()} stands in it twice")
            made[key.strip()] = _typed(_unwrapped(value), types.get(key.strip()))
            rest = rest.strip()
        if rest.removesuffix(self.after_last).strip():
            raise ValueError(f"{rest.strip()[:40]!r} is no argument between {self.before_key} and {self.after_value}")
        return made


def _types(tool: ToolSchema) -> Mapping[str, Any]:
    parameters = tool["function"].get("parameters") or {}
    properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
    return properties if isinstance(properties, Mapping) else {}


def _typed(text: str, schema: object) -> Any:
    """Return a value: text if the schema wants text, otherwise the value of its JSON, otherwise text."""
    if isinstance(schema, Mapping) and schema.get("type") == "string":
        return text
    try:
        return parsed_json(text)
    except ValueError:
        return text


def _unwrapped(text: str) -> str:
    return text.removeprefix("\n").removesuffix("\n")
