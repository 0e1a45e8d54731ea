"""Messages from clients: checks, comparison keys, and conversion to the messages of chat templates.

JSON --said_of--> Said --key--> compared with recorded turns          Said --as_messages--> Message, for a renderer
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from r1ray.conversation.template import call_id
from r1ray.endpoint.json_text import is_deep, parsed, shown
from r1ray.endpoint.refusals import invalid
from r1ray.turns import Message, Role, ToolCall

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}


@dataclass(frozen=True, slots=True)
class SaidCall:
    """A call of a tool in a client's message, or in an answer to it."""

    id: str
    name: str
    arguments: str
    """JSON text of an object."""

    @property
    def plain(self) -> dict[str, Any]:
        """Return the call in the form of OpenAI's API."""
        return {"id": self.id, "type": "function", "function": {"name": self.name, "arguments": self.arguments}}


@dataclass(frozen=True, slots=True)
class Said:
    """One message from a client."""

    role: Role
    content: str
    reasoning: str = ""
    calls: tuple[SaidCall, ...] = ()
    call_id: str = ""
    """Id of the call that this result answers."""
    name: str = ""

    @property
    def key(self) -> bytes:
        """Key that is equal for equal messages; without reasoning, which clients drop."""
        calls = [(each.name, each.arguments) for each in self.calls]
        return json.dumps([self.role, self.content, calls, self.call_id]).encode()


def said_of(value: object, place: str) -> Said:
    """Return a message of a request. Raises Refused.

    Args:
        place: its place in the request, for error messages: ``messages[3]``.
    """
    if not isinstance(value, dict):
        raise invalid(place, f"needs an object with role and content, found {shown(value)}")
    role = value.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise invalid(f"{place}.role", f"needs one of {', '.join(ROLES)}, found {shown(role)}")
    is_turn = role == "assistant"
    return Said(
        role=ROLES[role],
        content=_text(value.get("content"), f"{place}.content", may_miss=is_turn),
        reasoning=_reasoning(value) if is_turn else "",
        calls=_calls(value.get("tool_calls"), f"{place}.tool_calls") if is_turn else (),
        call_id=_word(value, "tool_call_id", place) if role == "tool" else "",
        name=_word(value, "name", place),
    )


def as_messages(conversation: Sequence[Said], begin: int = 0) -> tuple[Message, ...]:
    """Return a conversation, from message ``begin`` on, as chat templates take it. A result gets the name and the
    position of the call that it answers, whatever ids a client uses."""
    calls: dict[str, tuple[str, str]] = {}
    made = []
    for index, each in enumerate(conversation):
        if each.role == "assistant":
            calls |= {call.id: (call.name, call_id(place)) for place, call in enumerate(each.calls)}
        if index < begin:
            continue
        tool, number = calls.get(each.call_id, (each.name, "")) if each.role == "tool" else ("", "")
        made.append(
            Message(
                each.role, each.content, each.reasoning, tuple(map(_call_of, each.calls)), tool=tool, call_id=number
            )
        )
    return tuple(made)


def _call_of(call: SaidCall) -> ToolCall:
    return ToolCall(call.name, cast("dict[str, Any]", json.loads(call.arguments)), text=call.arguments)


def _text(value: object, place: str, *, may_miss: bool) -> str:
    """Return the text of a content field: a string, or a list of parts."""
    if isinstance(value, str):
        return value
    if value is None and may_miss:
        return ""
    if not isinstance(value, list):
        raise invalid(place, f"needs a text or a list of parts, found {shown(value)}")
    return "".join(_part(each, f"{place}[{number}]") for number, each in enumerate(value))


def _part(value: object, place: str) -> str:
    if isinstance(value, str):
        return value
    text = value.get("text") if isinstance(value, dict) and value.get("type") == "text" else None
    if not isinstance(text, str):
        raise invalid(place, f'needs {{"type": "text", "text": ...}}: nothing but text is read; found {shown(value)}')
    return text


def _reasoning(value: dict[str, Any]) -> str:
    return next((each for key in ("reasoning_content", "reasoning") if isinstance(each := value.get(key), str)), "")


def _calls(value: object, place: str) -> tuple[SaidCall, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise invalid(place, f"needs a list, found {shown(value)}")
    return tuple(_call(each, f"{place}[{number}]") for number, each in enumerate(value))


def _call(value: object, place: str) -> SaidCall:
    function = value.get("function") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(function, dict):
        raise invalid(place, f"needs an object with id and function, found {shown(value)}")
    name, arguments = function.get("name"), function.get("arguments")
    if not isinstance(name, str) or not name:
        raise invalid(f"{place}.function.name", f"needs a name, found {shown(name)}")
    try:
        found = parsed(arguments) if isinstance(arguments, str) else None
    except ValueError as error:
        raise invalid(f"{place}.function.arguments", f"is no JSON: {error}") from None
    if not isinstance(found, dict) or is_deep(found):
        raise invalid(f"{place}.function.arguments", f"needs the text of a JSON object, found {shown(arguments)}")
    return SaidCall(_word(value, "id", place), name, cast(str, arguments))


def _word(value: dict[str, Any], key: str, place: str) -> str:
    found = value.get(key)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise invalid(f"{place}.{key}", f"needs a text, found {shown(found)}")
    return found
