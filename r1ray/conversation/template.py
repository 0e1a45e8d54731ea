"""A model's own chat template, unchanged: the text of conversations."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from r1ray.conversation.harmless import Harmless
from r1ray.conversation.probes import ANSWER, CALLING, RESULT, SAID, TOLD, TOOL, USER, VALUES
from r1ray.turns import Message, ToolCall, ToolSchema

REASONING_KEYS = ("reasoning_content", "reasoning", "thinking")
"""Names that templates use for the reasoning of a message."""


class ChatTemplate:
    """Renders messages by a tokenizer's template, with all special tokens in them broken."""

    def __init__(self, tokenizer: Any, arguments: Mapping[str, Any] | None = None) -> None:
        self._tokenizer, self._arguments = tokenizer, dict(arguments or {})
        self.harmless = Harmless(tokenizer)
        # Each of these probes tries the usual form first.
        self._takes_parts = self._takes_text = self._needs_calls = False
        self._takes_parts = not self._shows(SAID, [USER, ANSWER], ())  # content as a list: models that read images
        self._takes_text = not self._shows(VALUES[1], [USER, CALLING])  # arguments as text, which it concatenates
        self._takes_text = self._takes_text and self._shows(VALUES[1], [USER, CALLING])
        self._needs_calls = not self._shows(RESULT, [USER, ANSWER, TOLD])  # a call for each result

    def text(self, messages: Sequence[Message], tools: Sequence[ToolSchema] = (), *, opens: bool = False) -> str:
        """Return the text of a conversation. Raises any error of the template's program.

        Args:
            opens: append the beginning of the policy's turn.
        """
        return str(
            self._tokenizer.apply_chat_template(
                [self._content(each) for each in self.plain(messages)],
                tools=self.harmless.values(list(tools)) or None,
                tokenize=False,
                add_generation_prompt=opens,
                **self._arguments,
            )
        )

    def attempt(
        self, messages: Sequence[Message], tools: Sequence[ToolSchema] = (), *, opens: bool = False
    ) -> str | None:
        """Return the text; None if the template does not accept the conversation."""
        try:
            return self.text(messages, tools, opens=opens)
        except Exception:  # a chat template is a program of the model's maker
            return None

    def _shows(self, text: str, messages: Sequence[Message], tools: Sequence[ToolSchema] = (TOOL,)) -> bool:
        return text in (self.attempt(messages, tools) or "")

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text that this template made."""
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def plain(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        """Return messages in the form that templates take. A malformed call becomes text; if a template needs a call
        for each result, the answer to a malformed call becomes a user message."""
        made, num_calls, num_results = list[dict[str, Any]](), 0, 0
        for message in messages:
            if message.role == "assistant":
                num_calls, num_results = sum(not each.problem for each in message.calls), 0
            if message.role == "tool" and self._needs_calls and num_results >= num_calls:
                message = Message("user", message.content)
            made.append(self._plain(message, num_results))
            num_results += message.role == "tool"
        return made

    def _plain(self, message: Message, number: int) -> dict[str, Any]:
        content = message.content
        if message.role == "assistant":
            content = "\n".join(each for each in (content, *(c.text for c in message.calls if c.problem)) if each)
        plain: dict[str, Any] = {"role": message.role, "content": self.harmless(content)}
        if message.reasoning:
            plain |= dict.fromkeys(REASONING_KEYS, self.harmless(message.reasoning))
        if calls := [each for each in message.calls if not each.problem]:
            plain["tool_calls"] = [self._call(each, place) for place, each in enumerate(calls)]
        if message.role == "tool":
            plain |= {"name": self.harmless(message.tool), "tool_call_id": message.call_id or call_id(number)}
        return plain

    def _call(self, call: ToolCall, number: int) -> dict[str, Any]:
        arguments = self.harmless.values(call.arguments)
        written = json.dumps(arguments, ensure_ascii=False) if self._takes_text else arguments
        function = {"name": self.harmless(call.name), "arguments": written}
        return {"type": "function", "id": call.id or call_id(number), "function": function}

    def _content(self, plain: dict[str, Any]) -> dict[str, Any]:
        return plain | {"content": [{"type": "text", "text": plain["content"]}]} if self._takes_parts else plain


def call_id(number: int) -> str:
    """Return an id for a call of a turn: nine letters and digits, as Mistral's templates require."""
    return f"call{number:05d}"
