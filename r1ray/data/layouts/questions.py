"""The question of a row: a text or chat messages, with parts from other columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from r1ray.data.checks import MalformedRow
from r1ray.data.layouts.media import refuse_marks
from r1ray.data.layouts.values import kind_of, structure_in, text_of, value_of
from r1ray.data.template import Message, Question


def asked(*names: str, context: tuple[str, ...] = ()) -> Callable[[Mapping[str, Any]], Question]:
    """Return a reader of the first of some columns that has a value.

    Args:
        context: columns of a text that the question is about and that is put before it.
    """

    def read(row: Mapping[str, Any]) -> Question:
        question = question_of(value_of(row, *names), column=" or ".join(names))
        held = value_of(row, *context)
        return f"{held.strip()}\n\n{question}" if isinstance(held, str) and isinstance(question, str) else question

    return read


def question_of(value: Any, *, column: str = "prompt") -> Question:
    """Return a question that a column holds as text, messages or JSON text of messages.

    Raises:
        MalformedRow: the value is none of these, messages have more than text, or the assistant ends the dialogue.
        UnusableRow: it contains an image.
    """
    found = structure_in(value) if isinstance(value, str) else value
    if _are_messages(found):
        return _messages(found, column)
    if isinstance(value, str) and value.strip():
        if isinstance(found, dict):
            raise MalformedRow(f"{column} is the text of {kind_of(found)}: needs a question, or messages")
        refuse_marks(value)
        return value
    if isinstance(value, list) and value:
        raise MalformedRow(f"{column} is a list, but not of {{role, content}} messages")
    raise MalformedRow(f"{column} needs a string or chat messages, found {kind_of(value)}")


def _are_messages(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(m, Mapping) and "role" in m for m in value)


def _messages(value: Sequence[Mapping[str, Any]], column: str) -> list[Message]:
    messages = [{"role": _role(message, column), "content": _content(message, column)} for message in value]
    if messages[-1]["role"] == "assistant":
        raise MalformedRow(f"the last message of {column} is the assistant's: a prompt ends with what is asked")
    return messages


def _role(message: Mapping[str, Any], column: str) -> str:
    role = message["role"]
    if not isinstance(role, str):
        raise MalformedRow(f"{column} is a list, but not of {{role, content}} messages")
    if message.get("tool_calls"):
        raise MalformedRow(f"a message of {column} has tool calls, which would be lost")
    return role


def _content(message: Mapping[str, Any], column: str) -> str:
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(_part(part, column) for part in content)
    if not isinstance(content, str):
        raise MalformedRow(f"{column} is a list, but not of {{role, content}} messages: found {kind_of(content)}")
    if message["role"] != "assistant":
        refuse_marks(content)
    return content


def _part(part: Any, column: str) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping) or part.get("type") != "text" or not isinstance(part.get("text"), str):
        kind = part.get("type") if isinstance(part, Mapping) else part
        raise MalformedRow(f"{column} has a part of type {kind!r:.40}: r1ray asks by text alone")
    return str(part["text"])


def with_starter(question: Callable[[Mapping[str, Any]], Question]) -> Callable[[Mapping[str, Any]], Question]:
    """Return a reader that adds the signature of the program to the problem, if the row has one."""

    def read(row: Mapping[str, Any]) -> Question:
        found, starter = question(row), text_of(row, "starter_code").strip()
        if not starter or not isinstance(found, str) or starter in found:
            return found
        return f"{found.rstrip()}\n\nUse this signature:\n\n```python\n{starter}\n```"

    return read
