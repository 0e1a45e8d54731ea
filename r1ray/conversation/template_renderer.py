"""A renderer of any model: its own template, and bridges that are read off it.

template(messages + turn + new) = prompt + turn + END + bridge          where the prompt is as it was: append-only
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from r1ray.conversation.calls import CallForm
from r1ray.conversation.chat_renderer import ConversationSettings
from r1ray.conversation.forms import Marks, marks_of
from r1ray.conversation.template import ChatTemplate
from r1ray.errors import UserError
from r1ray.turns import Action, Message, ToolSchema

logger = logging.getLogger(__name__)


class TemplateRenderer:
    """The ChatRenderer role by a tokenizer's chat template."""

    name = "template"

    def __init__(self, tokenizer: Any, settings: ConversationSettings) -> None:
        """Raises UserError where the template cannot be used at all."""
        self._tokenizer, self._settings = tokenizer, settings
        self._template = ChatTemplate(tokenizer, settings.template_arguments)
        self._marks: Marks = marks_of(self._template, tokenizer, model=settings.model)
        self._ends = {each: tokenizer.convert_tokens_to_ids(each) for each in self._marks.ends}
        self.stop_token_ids = tuple(self._ends.values())

    @property
    def call_form(self) -> CallForm | None:
        """The form of calls; None where the template shows none."""
        return self._marks.calls

    def prompt(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> list[int]:
        try:
            text = self._template.text(messages, tools, opens=True)
        except Exception as error:  # a chat template is a program of the model's maker
            roles = ", ".join(each.role for each in messages[:6])
            raise UserError(
                f"model={self._settings.model}: its chat template takes no conversation of the roles {roles}: "
                f"{error!s:.200}"
            ) from error
        return self._template.encode(text)

    def bridge(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSchema],
        prompt_ids: Sequence[int],
        sampled_ids: Sequence[int],
        new_messages: Sequence[Message],
    ) -> list[int] | None:
        turn = self.parse(sampled_ids, tools)
        is_open = self._marks.reasoning_is_open(self._text(sampled_ids))
        if any(each.role == "assistant" for each in new_messages) or (is_open and turn.is_whole):
            return None
        if (rest := self._rest(messages, tools, turn.message, new_messages)) is None:
            return None
        end, after = rest
        closing = self._template.encode(self._marks.reasoning[1]) if is_open else []
        ids = self._template.encode(end + after)  # together: what stands alone may be tokenized in another way
        is_closed = turn.is_whole and (sampled_ids[-1] == ids[0] or end in self._marks.closers)
        return closing + (ids[1:] if is_closed else ids)

    def parse(self, sampled_ids: Sequence[int], tools: Sequence[ToolSchema]) -> Action:
        text = self._text(sampled_ids)
        reasoning, said = self._marks.split(text)
        content, calls = self._marks.calls.read(said, tools) if self._marks.calls and tools else (said, ())
        return Action(
            content=content.strip(),
            reasoning=reasoning.strip(),
            calls=calls,
            text=text,
            is_whole=self._is_ended(sampled_ids),
        )

    def decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))

    def _is_ended(self, ids: Sequence[int]) -> bool:
        return bool(ids) and (ids[-1] in self.stop_token_ids or ids[-1] == self._tokenizer.eos_token_id)

    def _text(self, sampled_ids: Sequence[int]) -> str:
        return self.decode(sampled_ids[:-1] if self._is_ended(sampled_ids) else sampled_ids)

    def _rest(
        self, messages: Sequence[Message], tools: Sequence[ToolSchema], turn: Message, new: Sequence[Message]
    ) -> tuple[str, str] | None:
        """Return the mark that ends a turn in a history, and what follows it there; None where the template writes what
        came before in another way than it did."""
        template = self._template
        if self._settings.keep_reasoning:  # a history that has none shows how turns follow each other
            messages, turn = messages[:1], Message("assistant", turn.content, "", turn.calls)
        try:
            before = template.text(messages, tools, opens=True)
            whole = template.text([*messages, turn, *new], tools, opens=True)
        except Exception:  # a chat template is a program of the model's maker
            return None
        said = whole[len(before) :]
        found = min(((said.find(end), end) for end in self._ends if end in said), default=None)
        if not whole.startswith(before) or found is None:
            return None
        if self._marks.shows_reasoning and template.harmless(turn.reasoning) not in said[: found[0]]:
            return None
        return found[1], said[found[0] + len(found[1]) :]
