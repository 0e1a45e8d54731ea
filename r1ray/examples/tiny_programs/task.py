"""Questions that ask for a program on the number that it reads, and the pretraining corpus of the base model."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from typing import Any, Literal

from r1ray.examples.pretrain import Document, word_tokenizer

Split = Literal["train", "eval"]
SIGNS = {"plus": "+", "minus": "-", "times": "*"}
NUMBERS = range(2, 10)
WORDS = ("User:", "\nAssistant:", " then ", "print(", "int(input())", "input()", "(", ")", *SIGNS.values(),
         *(f"{name} {n}" for name in SIGNS for n in NUMBERS), *map(str, NUMBERS))  # fmt: skip
EVAL_SHARE_OF_256 = 40
TEST_INPUTS = (0, 3, 10)
RIGHT_SIGN, RIGHT_NUMBER, RIGHT_FORM = 0.7, 0.7, 0.6
"""Shares of programs in the corpus with the right sign, number and form."""


@dataclass(frozen=True, slots=True)
class Question:
    """Two operations, one after the other."""

    operations: tuple[tuple[str, int], tuple[str, int]]

    @property
    def text(self) -> str:
        return " then ".join(f"{name} {number}" for name, number in self.operations)

    @property
    def prompt(self) -> str:
        return f"User:{self.text}\nAssistant:"

    def value(self, x: int) -> int:
        """Return the output of a right program for ``x``."""
        for name, number in self.operations:
            x = {"plus": x + number, "minus": x - number, "times": x * number}[name]
        return x

    @property
    def check(self) -> dict[str, Any]:
        """Return the tests in r1ray's own layout."""
        tests = [{"stdin": f"{x}\n", "stdout": f"{self.value(x)}\n"} for x in TEST_INPUTS]
        return {"type": "code", "language": "python", "kind": "stdio", "tests": tests}

    @property
    def split(self) -> Split:
        return "eval" if hashlib.sha256(self.text.encode()).digest()[0] < EVAL_SHARE_OF_256 else "train"


def every_question(split: Split) -> list[Question]:
    """Return all questions of one split, in a fixed order."""
    single = [(name, number) for name in SIGNS for number in NUMBERS]
    questions = [Question((first, second)) for first in single for second in single]
    return [question for question in questions if question.split == split]


def program(first: str, second: str, *, form: str = "right") -> str:
    """Return the text of a program of two operations: ``program("+3", "*4")`` is ``print((int(input())+3)*4)``.

    >>> program("+3", "*4"), program("+3", "*4", form="flat"), program("+3", "*4", form="text")
    ('print((int(input())+3)*4)', 'print(int(input())+3*4)', 'print((input()+3)*4)')
    """
    if form == "flat":
        return f"print(int(input()){first}{second})"
    source = "input()" if form == "text" else "int(input())"
    return f"print(({source}{first}){second}" + ("" if form == "open" else ")")


def sample_document(rng: random.Random) -> Document:
    """Return a question of the train split and a program that is right in about one of eight cases."""
    question = rng.choice(TRAIN)
    written = []
    for name, number in question.operations:
        sign = SIGNS[name] if rng.random() < RIGHT_SIGN else rng.choice(list(SIGNS.values()))
        written.append(f"{sign}{number if rng.random() < RIGHT_NUMBER else rng.choice(NUMBERS)}")
    form = "right" if rng.random() < RIGHT_FORM else rng.choice(("flat", "text", "open"))
    return Document(question.prompt, program(*written, form=form))


TRAIN = every_question("train")


def make_tokenizer() -> Any:
    """Return a transformers tokenizer of the task's words."""
    return word_tokenizer(WORDS)
