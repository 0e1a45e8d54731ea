"""Dialogues as tokens: what the model reads, and which of it is an answer.

    Dialogue --pieces--> texts, in the loss or not --encode--> token ids, loss mask

The question is tokenized by itself, and each answer by itself, as they are when the model is asked and answers: so
the learner sees the tokens that a rollout engine would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from r1ray.data.checks import MalformedRow
from r1ray.data.dialogues import Dialogue
from r1ray.data.template import Message, render
from r1ray.types import BoolArray, Int32Array

ApplyChat: TypeAlias = Callable[[Sequence[Message], bool], str]
"""A tokenizer's chat template, with or without its generation prompt."""
OPENINGS = ("<think>\n", "<think>")
"""What generation prompts of reasoning models end with, and answers of their data begin with."""
NOT_KEPT = (
    "the tokenizer's chat template changes earlier answers of a dialogue (it drops their reasoning, or refuses the "
    "order of roles); needs a template that keeps them, or a row for each answer"
)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a dialogue's text."""

    text: str
    is_answer: bool


def pieces_of(dialogue: Dialogue, *, template: str, apply_chat: ApplyChat | None) -> tuple[Piece, ...]:
    """Questions and answers, in turn.

    With ``chat``, an answer is what the template makes of it, its end of turn included. Where the template would not
    keep the last answer as it is (it drops the reasoning), that answer is taken as it stands after the generation
    prompt. The other templates have no place for more than one answer.

    Raises:
        MalformedRow: the template cannot show the dialogue.
    """
    if template == "chat" and apply_chat is not None:
        return _chat_pieces(dialogue, apply_chat)
    if len(dialogue.replies) > 1:
        raise MalformedRow(f"a dialogue of several answers needs data.template=chat, found {template}")
    return Piece(render(dialogue.question, template=template), False), Piece(dialogue.replies[0]["content"], True)


def _chat_pieces(dialogue: Dialogue, apply_chat: ApplyChat) -> tuple[Piece, ...]:
    asked = dialogue.question
    messages: list[Message] = [{"role": "user", "content": asked}] if isinstance(asked, str) else list(asked)
    pieces: list[Piece] = []
    done = ""
    for index, reply in enumerate(dialogue.replies):
        if reply["role"] == "assistant":
            head = apply_chat(messages, True)
            if not head.startswith(done):
                raise MalformedRow(NOT_KEPT)
            answer = _rendered(head, apply_chat([*messages, reply], False), reply["content"])
            if answer is None and index + 1 < len(dialogue.replies):
                raise MalformedRow(NOT_KEPT)
            if answer is None:
                answer = _without_opening(reply["content"], head)
            pieces += [Piece(head[len(done) :], False), Piece(answer, True)]
            done = head + answer
        messages.append(reply)
    return tuple(pieces)


def _rendered(head: str, whole: str, content: str) -> str | None:
    """What the template puts after the generation prompt, None where the answer is not in it as it is."""
    answer = whole[len(head) :].rstrip()
    return answer if whole.startswith(head) and content.strip() in answer else None


def _without_opening(content: str, head: str) -> str:
    return next((content.removeprefix(o) for o in OPENINGS if head.endswith(o) and content.startswith(o)), content)


class DialogueEncoder:
    """Dialogues to tokens, by a model's tokenizer and a run's template."""

    def __init__(self, tokenizer: Any, *, template: str) -> None:
        self._tokenizer, self._template = tokenizer, template

    def pieces(self, dialogue: Dialogue) -> tuple[Piece, ...]:
        """As :func:`pieces_of`."""
        return pieces_of(dialogue, template=self._template, apply_chat=self._apply_chat)

    def _apply_chat(self, messages: Sequence[Message], add_generation_prompt: bool) -> str:
        from jinja2 import TemplateError

        try:
            text: str = self._tokenizer.apply_chat_template(
                list(messages), tokenize=False, add_generation_prompt=add_generation_prompt
            )
        except TemplateError as error:  # templates raise it for roles that they do not take
            raise MalformedRow(f"the tokenizer's chat template refuses the dialogue: {error}") from error
        return text

    def encode(self, dialogues: Sequence[Sequence[Piece]]) -> list[tuple[Int32Array, BoolArray]]:
        """Token ids [T] and loss mask [T] of each dialogue; the last answer ends with the end-of-sequence token."""
        heads = self._ids([pieces[0].text for pieces in dialogues], add_special_tokens=self._template != "chat")
        others = iter(self._ids([p.text for pieces in dialogues for p in pieces[1:]], add_special_tokens=False))
        eos: int = self._tokenizer.eos_token_id
        encoded = []
        for pieces, head in zip(dialogues, heads, strict=True):
            parts = [head, *(next(others) for _ in pieces[1:])]
            if not parts[-1] or parts[-1][-1] != eos:
                parts[-1] = [*parts[-1], eos]
            ids = np.concatenate([np.asarray(part, dtype=np.int32) for part in parts])
            mask = np.repeat([piece.is_answer for piece in pieces], [len(part) for part in parts])
            mask[0] = False  # nothing comes before it that it could be predicted from
            encoded.append((ids, mask))
        return encoded

    def _ids(self, texts: list[str], *, add_special_tokens: bool) -> list[list[int]]:
        if not texts:
            return []
        return list(self._tokenizer(texts, add_special_tokens=add_special_tokens, verbose=False)["input_ids"])
