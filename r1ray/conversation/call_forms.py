"""Form in which a chat template writes calls, derived from its text for a probe call.

...opening NAME between KEY after_key VALUE ... VALUE closing...
"""

from __future__ import annotations

import re

from r1ray.conversation.calls import CallForm, json_end, parsed_json
from r1ray.conversation.json_calls import JsonCalls, NamedJsonCalls
from r1ray.conversation.marks import Marks, first_of
from r1ray.conversation.probes import CALL, CALLING, KEYS, NAME, TOOL, USER, VALUES, shared
from r1ray.conversation.python_calls import PythonCalls
from r1ray.conversation.quoted_calls import QuotedCalls
from r1ray.conversation.tagged_calls import TaggedCalls
from r1ray.conversation.template import ChatTemplate


def call_form(template: ChatTemplate, marks: Marks) -> CallForm | None:
    """Return the form of a template's calls: the first form that reads the template's own probe call. None if there is
    none."""
    turn = _turn(template, marks)
    if turn is None:
        return None
    found: list[CallForm | None] = [find(turn) for find in FORMS]
    return next((form for form in found if form is not None and _reads(form, turn)), None)


def _reads(form: CallForm, turn: str) -> bool:
    calls = form.read(turn, [TOOL])[1]
    return [(each.name, each.arguments, each.problem) for each in calls] == [(NAME, CALL.arguments, "")]


def _turn(template: ChatTemplate, marks: Marks) -> str | None:
    """Return the text of a turn with a call, without the reasoning and the end of the turn."""
    before = template.attempt([USER], [TOOL], opens=True)
    whole = template.attempt([USER, CALLING], [TOOL])
    if before is None or whole is None:
        return None
    turn = whole[shared(before, whole) :]
    end = turn.find(first_of(turn[max(turn.rfind(VALUES[1]), 0) :], marks.ends) or "\0", turn.rfind(VALUES[1]))
    said = marks.split(turn[: end if end >= 0 else len(turn)])[1].strip()
    return said if 0 <= said.find(NAME) < said.find(VALUES[1]) else None


def _json_form(turn: str) -> JsonCalls | None:
    start = turn.rfind("{", 0, turn.find(f'"{NAME}"'))
    end = json_end(turn, start) if start >= 0 else None
    if f'"{NAME}"' not in turn or end is None or not isinstance(value := parsed_json(turn[start:end]), dict):
        return None
    names = [key for key, each in value.items() if each == NAME]
    arguments = [key for key, each in value.items() if each == CALL.arguments]
    if not names or not arguments:
        return None
    opening = turn[:start].strip().removesuffix("[").strip()
    closing = turn[end:].strip().removeprefix("]").strip()
    return JsonCalls(opening, closing, names[0], arguments[0])


def _named_json_form(turn: str) -> NamedJsonCalls | None:
    at = turn.find(NAME)
    start = turn.find("{", at)
    end = json_end(turn, start) if start >= 0 else None
    between = turn[at + len(NAME) : start].strip()
    if end is None or parsed_json(turn[start:end]) != CALL.arguments or not between:
        return None
    return NamedJsonCalls(turn[:at].strip(), between, turn[end:].strip())


def _python_form(turn: str) -> PythonCalls | None:
    opening, found, rest = turn.partition(f"[{NAME}({KEYS[0]}=")
    closing = rest.rpartition(")]")[2].strip()
    return PythonCalls(opening.strip(), closing) if found and opening.strip() and closing else None


def _quoted_form(turn: str) -> QuotedCalls | None:
    first, second = (
        f"{key}:(?P<{mark}>.+?){value}" for key, value, mark in zip(KEYS, VALUES, ("quote", "again"), strict=True)
    )
    found = re.fullmatch(
        rf"(?P<opening>.+){NAME}{{{first}(?P=quote),{second}(?P=again)}}(?P<closing>.+)", turn, re.DOTALL
    )
    if found is None or found["quote"] != found["again"]:
        return None
    opening, _, before_name = found["opening"].rpartition(">")
    return QuotedCalls(f"{opening}>", before_name, found["quote"], found["closing"].strip())


def _tagged_form(turn: str) -> TaggedCalls | None:
    key = turn.find(KEYS[0])
    name = turn.rfind(NAME, 0, max(key, 0))
    found = re.split("|".join(map(re.escape, (*KEYS, *VALUES))), turn[name + len(NAME) :])
    if name < 0 or len(found) != 5:
        return None
    to_key, after_key, to_next, after_key_again, ending = map(str.strip, found)
    before_key = to_key[len(to_key) - shared(to_key[::-1], to_next[::-1]) :]
    before_key = before_key[max(before_key.rfind("<"), 0) :].strip()
    after_value = to_next.removesuffix(before_key).strip()
    last = ending.removeprefix(after_value).split()
    opening = turn[:name].rpartition(NAME)[2].split()
    if not (before_key and after_key == after_key_again and after_value and last and opening):
        return None
    return TaggedCalls(
        opening=opening[0],
        before_name=" ".join(opening[1:]),
        after_name=to_key.removesuffix(before_key).strip(),
        before_key=before_key,
        after_key=after_key,
        after_value=after_value,
        after_last="\n".join(last[:-1]),
        closing=last[-1],
    )


FORMS = (_json_form, _named_json_form, _python_form, _quoted_form, _tagged_form)
