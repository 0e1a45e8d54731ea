"""Questions of six families, with the code that answers each; the code of three is shown in the cold start.

formula     What is 37 * 82 + 15?                                  shown
remainder   What is the remainder of 5131 divided by 23?           shown
letters     How many times is "s" in "mississippi"?                shown
squares     What is the sum of the squares of 13, 8 and 27?
digits      What is the sum of the digits of 48213?
larger      How much larger is 62 * 45 than 31 * 77?
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "eval"]
HELD_OUT_OF_256 = 51
"""A fifth of all questions is held out: those whose SHA-256 begins with a byte below this."""
WORDS = [
    "mississippi",
    "banana",
    "committee",
    "bookkeeper",
    "assessment",
    "parallel",
    "referee",
    "balloon",
    "tomorrow",
    "cinnamon",
    "millennium",
    "possession",
    "raccoon",
    "successful",
    "coffee",
    "letter",
    "address",
    "bubble",
    "pepper",
    "summer",
]


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and code whose value is its answer."""

    family: str
    text: str
    code: str
    answer: int

    @property
    def split(self) -> Split:
        return "eval" if hashlib.sha256(self.text.encode()).digest()[0] < HELD_OUT_OF_256 else "train"


def _formula(rng: random.Random) -> Question:
    a, b, c = rng.randint(11, 99), rng.randint(11, 99), rng.randint(11, 99)
    return Question("formula", f"What is {a} * {b} + {c}?", f"{a} * {b} + {c}", a * b + c)


def _remainder(rng: random.Random) -> Question:
    a, b = rng.randint(1000, 9999), rng.randint(11, 99)
    return Question("remainder", f"What is the remainder of {a} divided by {b}?", f"{a} % {b}", a % b)


def _letters(rng: random.Random) -> Question:
    word = "".join(rng.sample(WORDS, 2))
    letter = rng.choice(word)
    code = f"'{word}'.count('{letter}')"
    return Question("letters", f'How many times is "{letter}" in "{word}"?', code, word.count(letter))


def _squares(rng: random.Random) -> Question:
    a, b, c = (rng.randint(3, 40) for _ in range(3))
    text = f"What is the sum of the squares of {a}, {b} and {c}?"
    return Question("squares", text, f"{a}**2 + {b}**2 + {c}**2", a * a + b * b + c * c)


def _digits(rng: random.Random) -> Question:
    number = rng.randint(10000, 99999)
    text = f"What is the sum of the digits of {number}?"
    return Question("digits", text, f"sum(map(int, '{number}'))", sum(map(int, str(number))))


def _larger(rng: random.Random) -> Question:
    a, b, c, d = rng.randint(50, 99), rng.randint(50, 99), rng.randint(11, 49), rng.randint(11, 49)
    text = f"How much larger is {a} * {b} than {c} * {d}?"
    return Question("larger", text, f"{a} * {b} - {c} * {d}", a * b - c * d)


FAMILIES: dict[str, Callable[[random.Random], Question]] = {
    "formula": _formula,
    "remainder": _remainder,
    "letters": _letters,
    "squares": _squares,
    "digits": _digits,
    "larger": _larger,
}
SHOWN = ("formula", "remainder", "letters")
"""Families whose code the cold start shows."""


def sample_questions(rng: random.Random, split: Split, count: int, *, families: tuple[str, ...]) -> list[Question]:
    """Return ``count`` different questions of one split, the families by turns."""
    found: dict[str, Question] = {}
    while len(found) < count:
        question = FAMILIES[families[len(found) % len(families)]](rng)
        if question.split == split:
            found.setdefault(question.text, question)
    return list(found.values())
