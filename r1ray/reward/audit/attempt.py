"""One response of the battery, and the forms in which an answer can be given."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from r1ray.types import Prompt

FORM = ("format", "cold_start_format")
"""Parts that reward the form of a response."""
LANGUAGE = ("language",)
OPENING = "<think>"
REASONING = {
    "en": "We read the question once more and write down what is asked, then we look at what we have.",
    "zh": "我们再读一遍题目,先写下题目要求的内容,然后看看我们已经知道了什么。",
}
"""Prose without any answer, by language. Other languages use the English one."""
PLAIN_FORMS = ("\\boxed{{{0}}}", "The answer is {0}.", "Answer: {0}", "#### {0}", "{0}", "<answer>{0}</answer>")


@dataclass(frozen=True, slots=True)
class Attempt:
    """A response that answers its prompt wrongly or not at all.

    Example: ``Attempt("another value", "<think>...</think> <answer>43</answer>")`` if the reference is 42
    """

    kind: str
    text: str
    lacks: tuple[str, ...] = ()
    """Parts for form or language that must not reward it, by construction."""
    is_finished: bool = True


def tagged(prompt: Prompt, answer: str, *, reasoning: str | None = None) -> str:
    """Return an answer in R1-Zero's form, without the opening if the prompt has written it."""
    opening = "" if is_opened(prompt) else OPENING
    return f"{opening}{reasoning or prose(prompt)}</think>\n<answer>{answer}</answer>"


def is_opened(prompt: Prompt) -> bool:
    """Return whether the prompt's template has begun the reasoning."""
    return prompt.text.rstrip().endswith(OPENING)


def prose(prompt: Prompt) -> str:
    """Return a sentence in the prompt's language, or in English if there is none in that language."""
    return REASONING.get(prompt.language.split("-")[0].lower(), REASONING["en"])


def carried(prompt: Prompt, kind: str, answers: Sequence[str], rng: random.Random) -> Iterator[Attempt]:
    """Yield each wrong answer in R1-Zero's form and in one of the other forms."""
    for answer in answers:
        yield Attempt(kind, tagged(prompt, f"\\boxed{{{answer}}}"))
        text = rng.choice(PLAIN_FORMS).format(answer)
        yield Attempt(kind, _closed(prompt) + text, lacks=() if is_opened(prompt) else FORM)


def right_forms(prompt: Prompt, answer: str) -> list[str]:
    """Return a right answer in all forms that a reward may ask for."""
    plain = [f"{_closed(prompt)}{prose(prompt)}\n{form.format(answer)}" for form in PLAIN_FORMS]
    cold_start = f"<|reasoning|>{prose(prompt)}<|reasoning|>The answer is \\boxed{{{answer}}}."
    return [tagged(prompt, f"\\boxed{{{answer}}}"), tagged(prompt, answer), cold_start, *plain]


def _closed(prompt: Prompt) -> str:
    return f"{prose(prompt)}</think>\n" if is_opened(prompt) else ""
