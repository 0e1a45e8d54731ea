"""Text of a result for the policy: text itself, JSON for other values, and bounded in length."""

from __future__ import annotations

from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from r1ray.turns import ToolResult


def result_of(value: Any, *, max_chars: int) -> ToolResult:
    """Return a tool's result with at most ``max_chars`` characters, and a sentence about the omitted ones."""
    rewards = value.rewards if isinstance(value, ToolResult) else {}
    text = text_of(value.content if isinstance(value, ToolResult) else value)
    return ToolResult(shortened(text, max_chars=max_chars), rewards)


def text_of(value: Any) -> str:
    """Return text unchanged, anything else as JSON, and values that JSON does not have as Python prints them.

    >>> text_of({"sum": 3})
    '{"sum":3}'
    """
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()  # tokenizers do not accept half of a surrogate pair
    try:
        return to_json(value, fallback=str, inf_nan_mode="constants").decode()
    except (PydanticSerializationError, RecursionError):
        return repr(value).encode("utf-8", "replace").decode()


def shortened(text: str, *, max_chars: int) -> str:
    """Return a text, without its middle if it is longer than ``max_chars``.

    >>> shortened("0123456789", max_chars=4)
    '01\\n[6 characters are left out here]\\n89'
    """
    if len(text) <= max_chars:
        return text
    head, tail = max_chars - max_chars // 2, max_chars // 2
    left = len(text) - max_chars
    return f"{text[:head]}\n[{left} characters are left out here]\n{text[len(text) - tail :]}"
