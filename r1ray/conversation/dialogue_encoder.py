"""Encoder of dialogues with tools, to the same tokens that a rollout engine would be given and would sample.

    question, tools --prompt--> context  |  turn  |  replies --bridge--> context  |  turn ...

A turn is the policy's text in its row (``written``) if there is one, otherwise the chat template's text of the answer.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from r1ray.conversation.chat_renderer import ChatRenderer, ConversationSettings
from r1ray.conversation.making import check_template, make_renderer
from r1ray.conversation.probes import TOOL
from r1ray.data import template
from r1ray.data.checks import UnusableRow
from r1ray.data.dialogues import Dialogue, is_learned
from r1ray.data.template import Form, messages_in
from r1ray.data.turns import NOT_KEPT, NOT_SHOWN, DialogueEncoder, Piece
from r1ray.errors import UserError
from r1ray.turns import Action, Message, Role, ToolCall, ToolSchema
from r1ray.types import BoolArray, Int32Array

logger = logging.getLogger(__name__)


class ConversationEncoder:
    """A :class:`~r1ray.data.turns.DialogueEncoder` that writes dialogues of a world as that world's conversations."""

    def __init__(self, tokenizer: Any, *, form: Form, settings: ConversationSettings) -> None:
        """Raises UserError for arguments that the chat template does not have."""
        self._tokenizer, self._form, self._settings = tokenizer, form, settings
        self._plain = DialogueEncoder(tokenizer, template=form.template, form=form)

    def encode(self, dialogues: Sequence[Sequence[Piece]]) -> list[tuple[Int32Array, BoolArray]]:
        """Return token ids and loss mask of each dialogue."""
        return self._plain.encode(dialogues)

    def pieces(self, dialogue: Dialogue) -> tuple[Piece, ...]:
        """Return questions and answers, in turn. Raises UnusableRow if the template cannot show the dialogue."""
        is_written = any("written" in reply for reply in dialogue.replies)
        if not dialogue.tools and not is_written:
            return self._plain.pieces(dialogue)
        renderer = self._renderer
        if renderer is None:
            return self._plain.pieces(dialogue)
        try:
            # A policy's text follows a conversation with the system prompt and the suffix of its run.
            question = dialogue.question if is_written else self._form.posed(dialogue.question)
            found = self._pieces(replace(dialogue, question=question), renderer)
        except UserError as error:
            raise UnusableRow(str(error)) from error
        return found if found is not None else self._plain.pieces(dialogue)

    @functools.cached_property
    def _renderer(self) -> ChatRenderer | None:
        """The renderer of conversations with tools; None if the template has none, which is logged once."""
        try:
            renderer = make_renderer(self._tokenizer, settings=self._settings)
            if self._form.template == "chat":
                check_template(self._tokenizer, [TOOL], settings=self._settings, renderer=renderer)
        except UserError as error:
            logger.warning(f"dialogues with tools are written by the chat template alone: {error}")
            return None
        return renderer

    def _pieces(self, dialogue: Dialogue, renderer: ChatRenderer) -> tuple[Piece, ...] | None:
        """Return the pieces; None if the calls of an answer cannot be read back from the template's text."""
        tools: list[ToolSchema] = json.loads(dialogue.tools) if dialogue.tools else []
        given = messages_in(dialogue.question)
        history, new = conversation_of(given), list[template.Message]()
        context, ids = renderer.prompt(history, tools), list[int]()
        _check_tools(tools, renderer.decode(context))
        turns = iter(self._turns(dialogue, renderer, tools))
        pieces: list[Piece] = []
        sampled: list[int] = []
        action: Action | None = None
        for reply in dialogue.replies:
            if not is_learned(reply):
                new.append(reply)
                continue
            if action is not None:
                said, answered = _said(action), conversation_of(new)
                bridge = renderer.bridge(history, tools, ids, sampled, answered)
                if bridge is None:
                    raise UnusableRow(NOT_KEPT)
                history, context, new = [*history, said, *answered], bridge, []
                ids = [*ids, *sampled]
            ids = [*ids, *context]
            sampled = next(turns)
            action = renderer.parse(sampled, tools)
            if not _has_calls(action, reply):
                return None
            pieces += [Piece(renderer.decode(context), False, tuple(context))]
            pieces += [Piece(renderer.decode(sampled), True, tuple(sampled))]
        return tuple(pieces)

    def _turns(self, dialogue: Dialogue, renderer: ChatRenderer, tools: Sequence[ToolSchema]) -> list[list[int]]:
        """Return the tokens of each turn of the policy."""
        learned = [reply for reply in dialogue.replies if is_learned(reply)]
        written = [self._written(reply, renderer, tools) for reply in learned]
        if all(written):
            return written
        made = map(self._ids, self._plain.answers(dialogue))
        return [own or self._ended(turn, renderer) for own, turn in zip(written, made, strict=True)]

    def _written(self, reply: template.Message, renderer: ChatRenderer, tools: Sequence[ToolSchema]) -> list[int]:
        """Return the tokens of a turn as a policy wrote it; empty if they read differently from the message, because a
        model with another template wrote them."""
        ids = self._ids(reply.get("written", ""))
        read = renderer.parse(ids, tools)
        is_same = read.content == reply["content"].strip() and read.reasoning == _reasoning_of(reply)
        return ids if read.is_whole and is_same and _has_calls(read, reply) else []

    def _ended(self, ids: list[int], renderer: ChatRenderer) -> list[int]:
        eos, stops = self._tokenizer.eos_token_id, renderer.stop_token_ids
        return ids if ids and ids[-1] in (*stops, eos) else [*ids, eos if eos in stops else stops[0]]

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def conversation_of(messages: Sequence[template.Message]) -> list[Message]:
    """Return messages of a data set in a world's form. Results answer the calls before them, in order."""
    made: list[Message] = []
    called: list[str] = []
    for each in messages:
        calls = tuple(_calls_of(each))
        if calls:
            called = [call.name for call in calls]
        tool = (each.get("name") or (called.pop(0) if called else "")) if each["role"] == "tool" else ""
        content, reasoning = each["content"], _reasoning_of(each)
        made.append(Message(cast(Role, each["role"]), content, reasoning, calls, tool))
    return made


def _calls_of(message: template.Message) -> list[ToolCall]:
    calls = json.loads(message["tool_calls"]) if "tool_calls" in message else []
    return [ToolCall(each["function"]["name"], each["function"]["arguments"]) for each in calls]


def _reasoning_of(message: template.Message) -> str:
    return message.get("reasoning_content", "").strip()


def _has_calls(action: Action, message: template.Message) -> bool:
    """Return whether the turn is read with the same calls as the message has; both may have none."""
    found = [(call.name, dict(call.arguments)) for call in action.calls if not call.problem]
    wanted = [(call.name, call.arguments) for call in _calls_of(message)]
    return found == wanted


def _said(action: Action) -> Message:
    return Message("assistant", action.text) if any(call.problem for call in action.calls) else action.message


def _check_tools(tools: Sequence[ToolSchema], prompt: str) -> None:
    if not all(str(tool["function"].get("name", "")) in prompt for tool in tools):
        raise UnusableRow(f"{NOT_SHOWN}the tools")
