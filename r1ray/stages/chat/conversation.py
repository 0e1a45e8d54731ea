"""A chat so far, as the prompt of the next answer.

question --ask--> prompt text, room for the answer;  answer --answered--> history, where the form has turns
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from r1ray.data.template import Form, Message, Renderer
from r1ray.errors import UserError

LEAST_ROOM = 16
"""Tokens; less is no room for an answer."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The prompt of an answer."""

    text: str
    num_tokens: int
    max_tokens: int
    """Limit of the answer."""


class Conversation:
    """Turns of the user and the model. Without a chat template each question stands for itself."""

    def __init__(self, tokenizer: Any, form: Form, *, context: int, max_tokens: int) -> None:
        self._tokenizer, self._render, self._form = tokenizer, Renderer(tokenizer, form), form
        self._context, self._max_tokens = context, max_tokens
        self._history: list[Message] = []

    @property
    def has_turns(self) -> bool:
        """Return whether the model reads what was said before."""
        return self._form.template == "chat"

    def ask(self, question: str) -> Asked:
        """Return the prompt of a question. Raises UserError where it leaves no room for an answer; nothing is kept of
        it then."""
        turn: Message = {"role": "user", "content": question}
        text = self._render([*self._history, turn] if self.has_turns else question)
        num_tokens = len(self._tokenizer(text, add_special_tokens=not self.has_turns)["input_ids"])
        room = self._context - num_tokens
        if room < min(LEAST_ROOM, self._max_tokens):
            what = "the conversation with this question" if self._history else "the question"
            way_out = "/new begins a new one" if self._history else "ask a shorter one"
            raise UserError(f"{what} has {num_tokens} tokens, of {self._context} that the model can read: {way_out}.")
        return Asked(text, num_tokens, min(room, self._max_tokens))

    def answered(self, question: str, answer: str) -> None:
        """Keep a turn of both."""
        if self.has_turns:
            self._history += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]

    def forget(self) -> None:
        """Begin a new conversation."""
        self._history.clear()
