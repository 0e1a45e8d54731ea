"""Conversations that are rendered by a chat template to find its form."""

from __future__ import annotations

from collections.abc import Sequence

from r1ray.turns import Message, ToolCall, ToolSchema

SAID, THOUGHT, RESULT = "Quince17", "Walnut23", "Damson43"
NAME, KEYS, VALUES = "probe_tool_x1", ("probe_key_x2", "second_key_x3"), ("Medlar31", "Rowan53")
"""Texts that no template contains; none is the beginning of another."""
USER = Message("user", "Hello")
TOOL: ToolSchema = {
    "type": "function",
    "function": {
        "name": NAME,
        "description": "Probe.",
        "parameters": {
            "type": "object",
            "properties": {key: {"type": "string", "description": "Text."} for key in KEYS},
            "required": list(KEYS),
        },
    },
}
CALL = ToolCall(NAME, dict(zip(KEYS, VALUES, strict=True)))
CALLING = Message("assistant", "", calls=(CALL,))
TOLD = Message("tool", RESULT, tool=NAME)
ANSWER = Message("assistant", SAID)
THOUGHTFUL = Message("assistant", SAID, THOUGHT)
SYSTEM = Message("system", "Be brief.")
Conversation = tuple[Sequence[Message], Sequence[ToolSchema]]

CONVERSATIONS: tuple[Conversation, ...] = (
    ([USER], ()),
    ([SYSTEM, USER], (TOOL,)),
    ([USER, ANSWER, USER], ()),
    ([USER, Message("assistant", "", THOUGHT, (CALL,)), TOLD], (TOOL,)),
    ([SYSTEM, USER, THOUGHTFUL, USER, Message("assistant", SAID, calls=(CALL,)), TOLD, THOUGHTFUL, USER], (TOOL,)),
)
"""Conversations for comparison: a renderer that makes the same tokens from these five as a model's template has its
form."""
FOLLOWED: tuple[tuple[str, Sequence[ToolSchema], Message, Message], ...] = (
    ("a tool's result", (TOOL,), Message("assistant", "", THOUGHT, (CALL,)), TOLD),
    ("a user's message", (), THOUGHTFUL, USER),
)
"""Turns with reasoning and the message after each: in words, the tools, the turn, and the message."""


def shared(one: Sequence[object], other: Sequence[object]) -> int:
    """Return the number of characters, or tokens, that both have in common at their beginning."""
    pairs = zip(one, other, strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
