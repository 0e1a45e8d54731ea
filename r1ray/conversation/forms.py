"""The marks of a chat template, found by what it makes of probes: where turns end, reasoning and calls stand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from r1ray.conversation.calls import CallForm, JsonCalls, json_end, parsed_json
from r1ray.conversation.template import ChatTemplate
from r1ray.errors import UserError
from r1ray.turns import Message, ToolCall, ToolSchema

SAID, THOUGHT, NAME, KEY, VALUE, RESULT = (
    "Quince17",
    "Walnut23",
    "probe_tool_x1",
    "probe_key_x2",
    "Medlar31",
    "Damson43",
)
"""Texts that no template spells."""
USER = Message("user", "Hello")
TOOL: ToolSchema = {
    "type": "function",
    "function": {
        "name": NAME,
        "description": "Probe.",
        "parameters": {"type": "object", "properties": {KEY: {"type": "string"}}, "required": [KEY]},
    },
}
CALLING = Message("assistant", "", calls=(ToolCall(NAME, {KEY: VALUE}),))
TOLD = Message("tool", RESULT, tool=NAME)


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """What a template puts around the parts of a turn."""

    ends: tuple[str, ...]
    """Special tokens that follow a turn of the policy's."""
    closers: frozenset[str]
    """Those of ``ends`` that close a turn; the others begin the next one."""
    reasoning: tuple[str, str]
    shows_reasoning: bool
    """Whether a history has the reasoning of a turn."""
    begins_inside: bool
    """Whether a turn begins inside the reasoning: its first mark is the template's."""
    calls: CallForm | None

    def reasoning_is_open(self, text: str) -> bool:
        """Return whether a turn's text ends inside its reasoning."""
        opening, closing = self.reasoning
        begun = self.begins_inside or text.lstrip().startswith(opening)
        return begun and closing not in text

    def split(self, text: str) -> tuple[str, str]:
        """Return the reasoning of a turn's text, and what follows it."""
        opening, closing = self.reasoning
        if self.reasoning_is_open(text):
            return text.lstrip().removeprefix(opening), ""
        before, found, after = text.partition(closing)
        if not found or not (self.begins_inside or before.lstrip().startswith(opening)):
            return "", text
        return before.lstrip().removeprefix(opening), after


def marks_of(template: ChatTemplate, tokenizer: Any, *, model: str) -> Marks:
    """Return a template's marks. Raises UserError where nothing ends a turn of it."""
    specials = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    alone = _after(template, [USER, Message("assistant", SAID)], SAID)
    followed = _after(template, [USER, Message("assistant", SAID), USER], SAID)
    result = _attempt(lambda: template.text([USER, CALLING, TOLD], [TOOL]))
    closer = _first(alone or "", specials)
    ends = [closer, _first(followed or "", specials), _first_after_call(result or "", specials)]
    ends = [each for each in dict.fromkeys(ends) if each]
    if not ends:
        raise UserError(
            f"model={model}: no special token of its tokenizer ends a turn in its chat template, so that its turns "
            "would never end; needs another template, or data.template=none."
        )
    marks = _reasoning(template)
    opened = _attempt(lambda: template.text([USER], opens=True)) or ""
    reasoning = marks or ("<think>", "</think>")
    return Marks(
        ends=tuple(ends),
        closers=frozenset([closer] if closer else []),
        reasoning=reasoning,
        shows_reasoning=marks is not None,
        begins_inside=opened.rstrip().endswith(reasoning[0]),
        calls=call_form(template),
    )


def call_form(template: ChatTemplate) -> CallForm | None:
    """Return the form of calls that a template shows; None where it shows none that can be read."""
    before = _attempt(lambda: template.text([USER], [TOOL], opens=True))
    whole = _attempt(lambda: template.text([USER, CALLING], [TOOL]))
    if before is None or whole is None:
        return None
    start = len(before) if whole.startswith(before) else 0
    return _json_form(whole[start:])


def _json_form(text: str) -> JsonCalls | None:
    """Return the form of a turn whose call is a JSON object."""
    at = text.rfind(f'"{NAME}"')
    start = text.rfind("{", 0, at) if at >= 0 else -1
    end = json_end(text, start) if start >= 0 else None
    if end is None:
        return None
    value = parsed_json(text[start:end])
    names = [key for key, each in value.items() if each == NAME]
    arguments = [key for key, each in value.items() if each == {KEY: VALUE}]
    if not names or not arguments:
        return None
    opening = text[:start].strip().removesuffix("[").strip()
    closing = text[end:].strip().removeprefix("]").strip().partition("\n")[0]
    return JsonCalls(_last_mark(opening), _first_mark(closing), names[0], arguments[0])


def _last_mark(text: str) -> str:
    return text.rpartition("\n")[2].strip()


def _first_mark(text: str) -> str:
    """Return the first mark of a text that may hold several: ``</tool_call><|im_end|>``."""
    end = text.find(">")
    return text[: end + 1] if end >= 0 else text


def _reasoning(template: ChatTemplate) -> tuple[str, str] | None:
    """Return the marks around the reasoning of a template's last turn; None where it shows no reasoning."""
    plain = _attempt(lambda: template.text([USER, Message("assistant", SAID)]))
    whole = _attempt(lambda: template.text([USER, Message("assistant", SAID, THOUGHT)]))
    if plain is None or whole is None or THOUGHT not in whole:
        return None
    before, _, after = whole.partition(THOUGHT)
    opening = before.rstrip().rpartition("\n")[2].strip()
    opening = opening[opening.rfind("<") :] if "<" in opening else opening
    closing = after.partition(SAID)[0].strip()
    return (opening, closing) if opening and closing else None


def _after(template: ChatTemplate, messages: list[Message], mark: str) -> str | None:
    text = _attempt(lambda: template.text(messages))
    return None if text is None or mark not in text else text.rpartition(mark)[2]


def _first_after_call(text: str, specials: list[str]) -> str:
    """Return the first special token between a call and its result that is no mark of the call's own."""
    between = text.partition(RESULT)[0].rpartition(VALUE)[2] if VALUE in text and RESULT in text else ""
    return _first(between, [each for each in specials if "call" not in each])


def _first(text: str, tokens: list[str]) -> str:
    found = [(text.find(each), each) for each in tokens if each in text]
    return min(found)[1] if found else ""


def _attempt(function: Callable[[], str]) -> str | None:
    try:
        return function()
    except Exception:  # a chat template is a program of the model's maker
        return None
