"""Questions of the running-total task."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "eval"]

LABELS = "abcdefgh"
MAX_TOTAL = 49
MAX_OPERAND = 5
OPERATIONS = (3, 7)
EVAL_SHARE_OF_256 = 26
"""Byte below which the SHA-256 of a held-out expression begins: about 10 % of all expressions."""


@dataclass(frozen=True, slots=True)
class Expression:
    """``start`` and the signed operands; every running total is in 0..MAX_TOTAL."""

    start: int
    operands: tuple[int, ...]

    @property
    def steps(self) -> tuple[str, ...]:
        """Operands as they are written: label, sign, number."""
        return tuple(f"{label}{value:+d}" for label, value in zip(LABELS, self.operands, strict=False))

    @property
    def text(self) -> str:
        return f"{self.start}{''.join(self.steps)}"

    @property
    def totals(self) -> tuple[int, ...]:
        """Running total after each operand; the last one is the answer."""
        total, totals = self.start, []
        for value in self.operands:
            total += value
            totals.append(total)
        return tuple(totals)

    @property
    def answer(self) -> int:
        return self.totals[-1]

    @property
    def split(self) -> Split:
        return "eval" if hashlib.sha256(self.text.encode()).digest()[0] < EVAL_SHARE_OF_256 else "train"


def sample_expression(rng: random.Random, split: Split) -> Expression:
    """Return a random expression of one split.

    >>> sample_expression(random.Random(0), "eval").split
    'eval'
    """
    while True:
        start = total = rng.randint(0, MAX_TOTAL)
        operands = []
        for _ in range(rng.randint(*OPERATIONS)):
            value = rng.randint(1, MAX_OPERAND) * rng.choice((1, -1))
            if not 0 <= total + value <= MAX_TOTAL:
                value = -value
            total += value
            operands.append(value)
        expression = Expression(start, tuple(operands))
        if expression.split == split:
            return expression


def prompt_of(expression: Expression) -> str:
    """Return the question in the form that the base model knows."""
    return f"User:{expression.text}\nAssistant:"
