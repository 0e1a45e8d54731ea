"""The battery: all responses that test a reward for one prompt, as a function of the prompt and a seed.

    Prompt --by its check--> kinds of wrong answers --a few of each, in two forms--> Attempts
           --whatever it asks--> empty, tags, noise, copies, orders, leaks, another language

Each is wrong by construction: the generators know the reference and leave out responses that may be right by chance.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

from r1ray.checks import Choice, CodeTests, Countdown, FormatOnly, Instructions, MathAnswer, Reading
from r1ray.reward.audit import anything
from r1ray.reward.audit.attempt import FORM, Attempt, carried, right_forms, tagged
from r1ray.reward.audit.choices import CHOICE_KINDS, wrong_letters
from r1ray.reward.audit.expressions import EXPRESSION_KINDS
from r1ray.reward.audit.numbers import NUMBER_KINDS, number_of
from r1ray.reward.audit.programs import fenced, programs
from r1ray.types import Prompt

PER_KIND = 2
"""Number of wrong answers of one kind for one prompt."""


def battery(prompt: Prompt, *, seed: int, per_kind: int = PER_KIND) -> list[Attempt]:
    """Return the responses for a prompt. The same seed gives the same ones."""
    rng = random.Random(f"{seed} {prompt.id} {prompt.text}")
    found = [*anything.empty(prompt), *anything.tags_alone(prompt)]
    if isinstance(prompt.check, Instructions):  # a single word may follow every rule
        return found
    found += anything.degenerate(prompt, rng)
    if not isinstance(prompt.check, Reading):  # a part of the passage may share words with the answer
        found += anything.copied(prompt)
    found += anything.other_language(prompt)
    found += anything.injected(prompt, rng)
    found += anything.leaking(prompt, rng)
    if isinstance(prompt.check, FormatOnly):  # only the form is asked for
        return _without_repeated([each for each in found if set(each.lacks) >= set(FORM)])
    found += anything.form_alone(prompt, rng)
    right = right_answer(prompt)
    if right is not None:
        found += anything.unfinished(prompt, right)
        found += anything.in_the_reasoning_alone(prompt, right)
    found += _wrong(prompt, rng, per_kind)
    return _without_repeated([each for each in found if not _may_be_right(prompt, each)])


def right_answer(prompt: Prompt) -> str | None:
    """Return the right answer of a prompt; None for a kind of check that does not contain one."""
    check = prompt.check
    if isinstance(check, MathAnswer):
        return check.answer
    if isinstance(check, Choice):
        return check.letter
    if isinstance(check, Reading):
        return ", ".join(next(spans for spans in check.answers if any(spans)))
    return None


def right_responses(prompt: Prompt) -> list[str]:
    """Return right responses in all forms; an empty list if none is known."""
    if isinstance(prompt.check, FormatOnly):
        return right_forms(prompt, "Done.")
    right = right_answer(prompt)
    return [] if right is None else right_forms(prompt, right)


def wrong_math(reference: str) -> dict[str, list[str]]:
    """Return wrong answers to a reference by kind."""
    value = number_of(reference)
    text = reference.strip().strip("$ ")
    found = {kind: make(reference) for kind, make in EXPRESSION_KINDS.items()}
    if value is not None:
        found |= {kind: make(text, value) for kind, make in NUMBER_KINDS.items()}
        found["another formula"] = []
    return {kind: answers for kind, answers in found.items() if answers}


def wrong_countdown(check: Countdown) -> dict[str, list[str]]:
    """Return expressions that use other numbers or have another value."""
    numbers, target = check.numbers, check.target
    total = "+".join(map(str, numbers))
    found = {"expression of other numbers": [str(target), f"({total})*0+{target}", f"{total}-({total})+{target}"]}
    if len(numbers) == 1 and numbers[0] == target:
        return {}
    return found | ({"another value": [total, f"{total}={target}"]} if sum(numbers) != target else {})


def _wrong(prompt: Prompt, rng: random.Random, per_kind: int) -> Iterator[Attempt]:
    check, by_kind = prompt.check, _answers(prompt)
    for kind, answers in by_kind.items():
        few = answers if len(answers) <= per_kind else rng.sample(answers, per_kind)
        if isinstance(check, CodeTests):
            few = rng.sample(answers, 1)
            for source in few:
                yield Attempt(kind, tagged(prompt, f"\n{fenced(source, check.language)}\n"))
        else:
            yield from carried(prompt, kind, few, rng)


def _answers(prompt: Prompt) -> Mapping[str, Sequence[str]]:
    check = prompt.check
    if isinstance(check, MathAnswer):
        return wrong_math(check.answer)
    if isinstance(check, Choice):
        wrong = wrong_letters(check)
        return {kind: make(check.letter, wrong) for kind, make in CHOICE_KINDS.items()}
    if isinstance(check, CodeTests):
        return programs(check)
    return wrong_countdown(check) if isinstance(check, Countdown) else {}


def _may_be_right(prompt: Prompt, attempt: Attempt) -> bool:
    """Return whether a response that was made without the reference may contain it by chance."""
    if attempt.kind not in anything.WITHOUT_REFERENCE:
        return False
    right = right_answer(prompt) or ""
    if isinstance(prompt.check, MathAnswer) and not _numbers_in(right).isdisjoint(_numbers_in(attempt.text)):
        return True  # "{0.check.answer}" for 0.0
    words = right.split() if isinstance(prompt.check, Reading) else [right.strip("$ ")]
    return any(
        re.search(rf"(?<!\w){re.escape(word)}(?!\w)", attempt.text, re.IGNORECASE * (len(word) > 1))
        for word in words
        if word
    )


def _numbers_in(text: str) -> frozenset[Fraction]:
    return frozenset(map(Fraction, re.findall(r"[0-9]{1,40}(?:\.[0-9]{1,40})?", text)))


def _without_repeated(attempts: Sequence[Attempt]) -> list[Attempt]:
    return list({(each.text, each.is_finished): each for each in reversed(attempts)}.values())[::-1]
