"""Questions of three families whose answers need one or two facts: ``What is 7 * 8?``

    add1   one-digit sums       4 + 8
    mul1   one-digit products   7 * 8
    add2   two-digit sums in which no digit is carried, 31 + 25

Two-digit questions are held out by the pair of their operands, in either order, so that no held-out sum is in training.
One-digit facts cannot be held out: there are 55 of each family, and a model that never saw some of them would have to
guess. Training and evaluation therefore ask the same ones.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "eval"]
FAMILIES = ("add1", "mul1", "add2")
HELD_OUT_OF_256 = 51
"""Share, of 256, of the pairs of two-digit operands that are held out: a fifth."""


@dataclass(frozen=True, slots=True)
class Question:
    """``left`` + or * ``right``."""

    family: str
    left: int
    right: int

    @property
    def text(self) -> str:
        return f"{self.left} {'*' if self.family == 'mul1' else '+'} {self.right}"

    @property
    def answer(self) -> int:
        return self.left * self.right if self.family == "mul1" else self.left + self.right

    @property
    def prompt(self) -> str:
        """Prompt in bare ChatML, without the system message of the chat template, which is longer than the question."""
        return f"<|im_start|>user\nWhat is {self.text}?<|im_end|>\n<|im_start|>assistant\n"


def split_of(left: int, right: int) -> Split:
    """Return the split of a two-digit sum, the same for both orders of its operands."""
    pair = f"{min(left, right)}+{max(left, right)}"
    return "eval" if hashlib.sha256(pair.encode()).digest()[0] < HELD_OUT_OF_256 else "train"


def every_question(split: Split) -> dict[str, list[Question]]:
    """Return the questions of each family that a split may ask."""
    digits, tens = range(1, 10), range(10, 90)
    pairs = [(left, right) for left in tens for right in tens if left % 10 + right % 10 < 10 and left + right < 100]
    return {
        "add1": [Question("add1", left, right) for left in digits for right in digits],
        "mul1": [Question("mul1", left, right) for left in digits for right in digits],
        "add2": [Question("add2", left, right) for left, right in pairs if split_of(left, right) == split],
    }


def sample_questions(rng: random.Random, split: Split, count: int) -> list[Question]:
    """Return ``count`` questions, alternating between families; none is asked twice before all of its family have been
    asked."""
    bags: dict[str, list[Question]] = {family: [] for family in FAMILIES}
    every = every_question(split)
    found = []
    for index in range(count):
        family = FAMILIES[index % len(FAMILIES)]
        if not bags[family]:
            bags[family] = rng.sample(every[family], len(every[family]))
        found.append(bags[family].pop())
    return found
