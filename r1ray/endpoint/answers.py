"""Answers of the policy in the form of OpenAI's API: one object, or chunks."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias
from uuid import uuid4

from r1ray.endpoint.chat_call import MODEL
from r1ray.endpoint.messages import SaidCall

FinishReason: TypeAlias = Literal["stop", "length", "tool_calls"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One turn, as sent to the client."""

    content: str
    reasoning: str = ""
    calls: tuple[SaidCall, ...] = ()
    reason: FinishReason = "stop"
    prompt_tokens: int
    completion_tokens: int
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self) -> bytes:
        """Return the answer as one object."""
        choice = {"index": 0, "message": self._message(), "finish_reason": self.reason, "logprobs": None}
        return _json(self._object("chat.completion", [choice]) | {"usage": self._usage()})

    def chunks(self, *, wants_usage: bool) -> Iterator[bytes]:
        """Yield the answer as server-sent events: all of its content, the end, and the usage if wanted."""
        delta = self._message()
        if self.calls:
            delta["tool_calls"] = [{"index": place} | call for place, call in enumerate(delta["tool_calls"])]
        choices: list[list[dict[str, Any]]] = [
            [{"index": 0, "delta": delta, "finish_reason": None}],
            [{"index": 0, "delta": {}, "finish_reason": self.reason}],
        ]
        for each in choices:
            yield _event(self._object("chat.completion.chunk", each))
        if wants_usage:
            yield _event(self._object("chat.completion.chunk", []) | {"usage": self._usage()})
        yield b"data: [DONE]\n\n"

    def _message(self) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": self.content or (None if self.calls else "")}
        if self.reasoning:
            message["reasoning_content"] = self.reasoning
        if self.calls:
            message["tool_calls"] = [each.plain for each in self.calls]
        return message

    def _object(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": MODEL, "choices": choices}

    def _usage(self) -> dict[str, int]:
        given, said = self.prompt_tokens, self.completion_tokens
        return {"prompt_tokens": given, "completion_tokens": said, "total_tokens": given + said}


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + _json(value) + b"\n\n"


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode()  # in ASCII: a model's text may contain halves of characters
