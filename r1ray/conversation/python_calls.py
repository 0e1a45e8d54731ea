"""Calls as Python writes them, in a list between two marks: ``[name(key='value', other=7), name()]``."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from r1ray.conversation.calls import malformed, read_between
from r1ray.turns import ToolCall, ToolSchema

MAX_LENGTH = 8_000
"""Longest list in characters, because Python's parser should not read more of a policy's text."""
MAX_DEPTH = 50


@dataclass(frozen=True, slots=True)
class PythonCalls:
    """A list of calls with keyword arguments that are literals."""

    opening: str
    closing: str

    def read(self, text: str, tools: Sequence[ToolSchema]) -> tuple[str, tuple[ToolCall, ...]]:
        return read_between(text, self.opening, self.closing, self._one)

    def _one(self, text: str) -> tuple[int | None, list[ToolCall]]:
        end = text.find(self.closing)
        if end < 0:
            return None, []
        length = end + len(self.closing)
        whole = f"{self.opening}{text[:length]}"
        try:
            return length, [_call(each, whole) for each in _calls(text[:end].strip())]
        except ValueError as error:
            return length, [malformed(whole, str(error))]


def _calls(written: str) -> list[ast.Call]:
    """Return the calls in a text. Raises ValueError with a short reason."""
    if len(written) > MAX_LENGTH or max(map(written.count, "([{-~")) > MAX_DEPTH * 10 or _depth(written) > MAX_DEPTH:
        raise ValueError("it is too long or too deep")
    try:
        with warnings.catch_warnings():  # about invalid escapes
            warnings.simplefilter("ignore")
            tree = ast.parse(written, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise ValueError("it is no list [name(key=value, ...)]") from None
    calls = tree.elts if isinstance(tree, ast.List) else [tree]
    if not calls or not all(isinstance(each, ast.Call) for each in calls):
        raise ValueError("it is no list [name(key=value, ...)]")
    return [each for each in calls if isinstance(each, ast.Call)]


def _call(call: ast.Call, text: str) -> ToolCall:
    name = ast.unparse(call.func)
    keys = [each.arg for each in call.keywords]
    if call.args or None in keys or len(set(keys)) < len(keys):
        return malformed(text, "its arguments need to be key=value, each key once", name=name)
    try:
        arguments = {str(each.arg): _value(each.value) for each in call.keywords}
    except (ValueError, TypeError, RecursionError, MemoryError):
        return malformed(text, "its arguments need to be plain values", name=name)
    return ToolCall(name, arguments, text)


def _value(node: ast.expr) -> object:
    """Return a literal's value; templates write lists and objects as JSON, with true, false and null. Raises
    ValueError."""
    if isinstance(node, ast.Name) and node.id in _JSON:
        return _JSON[node.id]
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(each) for each in node.elts]
    if isinstance(node, ast.Dict):
        return {str(_value(key or node)): _value(value) for key, value in zip(node.keys, node.values, strict=True)}
    value = ast.literal_eval(node)
    if not isinstance(value, str | int | float | bool | None):
        raise ValueError
    return value


def _depth(text: str) -> int:
    depth = deepest = 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        deepest = max(deepest, depth)
    return deepest


_JSON = {"true": True, "false": False, "null": None}
