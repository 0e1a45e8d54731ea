"""Renderer of any model, by its own template; bridges are cut out of the template's text.

template(messages + turn + new) = prompt + turn + END + bridge          if the prompt is unchanged: append-only
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from r1ray.conversation.call_forms import call_form
from r1ray.conversation.calls import malformed
from r1ray.conversation.chat_renderer import ConversationSettings
from r1ray.conversation.marks import first_of, marks_of, two_calls
from r1ray.conversation.probes import FOLLOWED, SAID, USER, VALUES, shared
from r1ray.conversation.template import ChatTemplate
from r1ray.errors import UserError
from r1ray.turns import Action, Message, ToolCall, ToolSchema


class TemplateRenderer:
    """ChatRenderer role, implemented by a tokenizer's chat template."""

    name = "template"

    def __init__(self, tokenizer: Any, template: ChatTemplate, settings: ConversationSettings) -> None:
        """Raises UserError if nothing ends a turn of the template."""
        self._tokenizer, self._template, self._settings = tokenizer, template, settings
        self._marks = marks_of(template, tokenizer, model=settings.model)
        self._calls = call_form(template, self._marks)
        self._takes_several = two_calls(template) is not None
        self.stop_token_ids: tuple[int, ...] = tuple(tokenizer.convert_tokens_to_ids(list(self._marks.stops)))

    def prompt(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> list[int]:
        try:
            text = self._template.text(messages, tools, opens=True)
        except Exception as error:  # a chat template is a program of the model's maker
            roles = ", ".join(each.role for each in messages[:6])
            raise UserError(
                f"model={self._settings.model}: its chat template does not accept a conversation of the roles {roles}: "
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
        is_open = self._marks.shows_reasoning and self._marks.is_open(turn.text)
        if any(each.role == "assistant" for each in new_messages) or (is_open and turn.is_whole):
            return None
        if (found := self._after(messages, tools, turn.message, new_messages)) is None:
            return None
        end, after = found
        ids = self._template.encode(end + after)  # together, because single parts may be tokenized differently
        if (turn.is_whole and end in self._marks.closers) or list(sampled_ids[-1:]) == ids[:1]:
            return ids[1:]
        if turn.is_whole:  # it ended on a mark that does not begin the text that follows
            return None
        return [*(self._template.encode(self._marks.closing) if is_open else []), *ids]

    def parse(self, sampled_ids: Sequence[int], tools: Sequence[ToolSchema]) -> Action:
        is_whole = bool(sampled_ids) and sampled_ids[-1] in (*self.stop_token_ids, self._tokenizer.eos_token_id)
        text = self.decode(sampled_ids[:-1] if is_whole else sampled_ids)
        reasoning, content = self._marks.split(text)
        calls: tuple[ToolCall, ...] = ()
        if self._calls and tools:
            content, calls = self._calls.read(content, tools)
            if not self._takes_several:
                calls = calls[:1] + tuple(malformed(each.text, "a turn has one call at most") for each in calls[1:])
        return Action(content=content.strip(), reasoning=reasoning.strip(), calls=calls, text=text, is_whole=is_whole)

    def decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))

    @property
    def reads_calls(self) -> bool:
        """Return whether the template shows a form of calls that is understood."""
        return self._calls is not None

    def branches(self) -> list[str]:
        """Return the kinds of messages that begin a branch after a turn with reasoning, in words; empty if none
        does."""
        tried = [each for each in FOLLOWED if self.reads_calls or not each[1]]
        return [what for what, tools, turn, new in tried if self._after([USER], tools, turn, [new]) is None]

    def _after(
        self, messages: Sequence[Message], tools: Sequence[ToolSchema], turn: Message, new: Sequence[Message]
    ) -> tuple[str, str] | None:
        """Return the mark that ends a turn in a history, and the text after it; None if the template writes the earlier
        conversation differently from before."""
        template = self._template
        if self._settings.keep_reasoning:  # if a history has no reasoning, none is dropped
            messages, turn = [replace(each, reasoning="") for each in messages], replace(turn, reasoning="")
        before = template.attempt(messages, tools, opens=True)
        whole = template.attempt([*messages, turn, *new], tools, opens=True)
        like = template.attempt([*messages, _like(turn), *new], tools, opens=True)
        if before is None or whole is None or like is None:
            return None
        if not self._settings.keep_reasoning and not self._keeps(before, whole, turn):
            return None
        begin = shared(before, like)
        start = max(like.find(SAID, begin), like.find(VALUES[1], begin))
        end = first_of(like[start:], self._marks.ends)
        after = like[start:].partition(end)[2] if end and start >= 0 else None
        return (end, after) if after is not None and whole.endswith(f"{end}{after}") else None

    def _keeps(self, before: str, whole: str, turn: Message) -> bool:
        """Return whether a history contains the prompt of a turn unchanged, and the turn's reasoning."""
        said = whole[len(before) :]
        return whole.startswith(before) and (
            not self._marks.shows_reasoning or self._template.harmless(turn.reasoning) in said
        )


def _like(turn: Message) -> Message:
    """Return a turn of the same kind, whose text can be found in the result."""
    calls = tuple(
        replace(each, arguments={**each.arguments, "x": VALUES[1]}) for each in turn.calls if not each.problem
    )
    return Message("assistant", "" if calls else SAID, "", calls)
