"""Questions: sums of two-digit numbers and of products of two."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "eval"]

SMALLEST, LARGEST = 10, 99
NUM_OPERANDS = (2, 5)
PRODUCT_SHARE = 0.4
EVAL_SHARE_OF_256 = 26
"""Byte below which the SHA-256 of a held-out sum begins: about 10 % of all sums."""


@dataclass(frozen=True, slots=True)
class Sum:
    """Terms that are added up; each is a number, or the product of two.

    >>> Sum(((37, 82), (15,))).text, Sum(((37, 82), (15,))).answer
    ('37*82+15', 3049)
    """

    terms: tuple[tuple[int, ...], ...]

    @property
    def text(self) -> str:
        return "+".join("*".join(map(str, term)) for term in self.terms)

    @property
    def answer(self) -> int:
        return sum(term[0] * (term[1] if len(term) == 2 else 1) for term in self.terms)

    @property
    def split(self) -> Split:
        return "eval" if hashlib.sha256(self.text.encode()).digest()[0] < EVAL_SHARE_OF_256 else "train"


def sample_sum(rng: random.Random, split: Split) -> Sum:
    """Return a random sum of one split, in which no number occurs twice.

    >>> sample_sum(random.Random(0), "eval").split
    'eval'
    """
    while True:
        numbers = rng.sample(range(SMALLEST, LARGEST + 1), rng.randint(*NUM_OPERANDS))
        terms: list[tuple[int, ...]] = []
        while numbers:
            size = 2 if len(numbers) > 1 and rng.random() < PRODUCT_SHARE else 1
            terms.append(tuple(numbers[:size]))
            numbers = numbers[size:]
        found = Sum(tuple(terms))
        if found.split == split:
            return found


def question_of(found: Sum) -> str:
    """Return a sum as a user's question."""
    return f"What is {found.text}?"
