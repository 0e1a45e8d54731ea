"""Marks of a chat template, found by rendering probes: the ends of turns and of reasoning."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from r1ray.conversation.probes import (
    ANSWER,
    CALL,
    CALLING,
    NAME,
    RESULT,
    SAID,
    THOUGHT,
    THOUGHTFUL,
    TOLD,
    TOOL,
    USER,
    VALUES,
    shared,
)
from r1ray.conversation.template import ChatTemplate
from r1ray.errors import UserError
from r1ray.turns import Message, ToolSchema


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Texts that a template puts around the parts of a turn."""

    stops: tuple[str, ...]
    """Special tokens on which the policy ends a turn."""
    ends: tuple[str, ...]
    """Special tokens that follow a turn in a history."""
    closers: frozenset[str]
    """Members of ``ends`` that close a turn; the others begin the text after it."""
    opening: str
    closing: str
    """End of the reasoning."""
    shows_reasoning: bool
    """True if the template has a place for the reasoning of a turn."""
    begins_inside: bool
    """True if a turn begins inside the reasoning, whose first mark the template writes."""
    before_content: str
    """Beginning of a turn without reasoning."""

    def is_open(self, text: str) -> bool:
        """Return whether a turn's text ends inside its reasoning."""
        begun = self.begins_inside or text.lstrip().startswith(self.opening)
        return begun and self.closing not in text

    def split(self, text: str) -> tuple[str, str]:
        """Return the reasoning of a turn's text, and the text after it."""
        begun = text.lstrip()
        if self.is_open(text):
            return begun.removeprefix(self.opening), ""
        if not self.begins_inside and not begun.startswith(self.opening):
            return "", self._content(text)
        reasoning, _, after = begun.removeprefix(self.opening).partition(self.closing)
        return reasoning, self._content(after)

    def _content(self, text: str) -> str:
        """Return a text without the template's text before the content, such as the name of a channel."""
        _, found, content = text.partition(self.before_content or "\0")
        return content if found and self.closing not in self.before_content else text


def marks_of(template: ChatTemplate, tokenizer: Any, *, model: str) -> Marks:
    """Return a template's marks. Raises UserError if nothing ends a turn."""
    specials = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    closer = first_of(_after(template.attempt([USER, ANSWER]), SAID), specials)
    end = first_of(_after(template.attempt([USER, ANSWER, USER]), SAID), specials)
    call_end = _call_end(template, closer, specials)
    if not closer and not end:
        raise UserError(
            f"model={model}: no special token of its tokenizer ends a turn in its chat template, so turns would never "
            "end; needs another template in its tokenizer, or data.template=none."
        )
    alone = _after(template.attempt([USER, CALLING], [TOOL]), VALUES[1])
    closes = [closer, end if closer else "", call_end if call_end and call_end in alone else ""]
    reasoning = _reasoning(template, specials)
    opened = template.attempt([USER], opens=True) or ""
    opening, closing = reasoning or ("<think>", "</think>")
    return Marks(
        stops=_unique([closer or end, call_end]),
        ends=_unique([end, closer, call_end]),
        closers=frozenset(closes) - {""},
        opening=opening,
        closing=closing,
        shows_reasoning=reasoning is not None,
        begins_inside=opened.rstrip().endswith(opening),
        before_content=_begin(template, ANSWER).strip(),
    )


def first_of(text: str, tokens: Iterable[str]) -> str:
    """Return the token that comes first in a text, the longest if several begin there; "" if there is none."""
    found = [(text.find(each), -len(each), each) for each in tokens if each in text]
    return min(found)[2] if found else ""


def two_calls(template: ChatTemplate) -> str | None:
    """Return the text of a conversation with two calls in a turn; None if the template accepts only one."""
    return template.attempt([USER, Message("assistant", "", calls=(CALL, CALL))], [TOOL])


def _call_end(template: ChatTemplate, closer: str, specials: list[str]) -> str:
    """Return the special token that ends a turn with a call, which must not also stand between two calls."""
    told = template.attempt([USER, CALLING, TOLD], [TOOL]) or ""
    between = _after(told, VALUES[1]).partition(RESULT)[0]
    if closer and closer in between:
        return closer
    two = two_calls(template) or ""
    of_calls = two.rpartition(NAME)[0].rpartition(VALUES[1])[2]
    return first_of(between, [each for each in specials if each not in of_calls])


def _reasoning(template: ChatTemplate, specials: list[str]) -> tuple[str, str] | None:
    """Return the marks around the reasoning of a template's last turn, or of a turn with a call; None if it shows no
    reasoning."""
    calling = Message("assistant", "", THOUGHT, (CALL,))
    ways: list[tuple[Message, Sequence[ToolSchema], str]] = [(THOUGHTFUL, (), SAID), (calling, (TOOL,), NAME)]
    texts = [template.attempt([USER, turn], tools) or "" for turn, tools, _ in ways]
    shown = [(text, *way) for text, way in zip(texts, ways, strict=True) if THOUGHT in text]
    if not shown:
        return None
    whole, turn, tools, _ = shown[0]
    opening = _begin(template, turn, tools, until=THOUGHT).strip()
    if not opening:  # the prompt already contains it
        opening = whole.partition(THOUGHT)[0].strip().rpartition("\n")[2]
        opening = opening[max(opening.rfind("<"), opening.rfind("["), 0) :]
    after = [_after(text, THOUGHT).partition(end)[0].strip() for text, _, _, end in shown]
    closing = after[0][: shared(after[0], after[-1])]
    special = first_of(closing, specials)
    closing = special if special and closing.startswith(special) else closing.strip()
    return (opening, closing) if opening and closing else None


def _begin(template: ChatTemplate, turn: Message, tools: Sequence[ToolSchema] = (), *, until: str = SAID) -> str:
    """Return the text between the beginning of the policy's turn and its content."""
    before, whole = (template.attempt([USER, *said], tools, opens=not said) or "" for said in ([], [turn]))
    return whole[len(before) :].partition(until)[0] if whole.startswith(before) else ""


def _after(text: str | None, mark: str) -> str:
    return (text or "").rpartition(mark)[2] if mark in (text or "") else ""


def _unique(texts: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each for each in texts if each))
