"""Rows with two answers of which one is better, and rows with several answers in an order, as pairs.

    row --ComparisonLayout.read--> a pair
    row --RankedLayout.read------> a pair of each two answers that follow each other: of K answers at most K - 1

Answers that are equally good are no pair. How good an answer is gives an order, and no margin.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from r1ray.data.checks import MalformedRow, UnusableRow, read_row
from r1ray.data.dialogues import RawExample, Row, name_of, value_of
from r1ray.data.messages import answer_of, parsed, question_of, refuse_media, text_of
from r1ray.data.pairs import conversation_of, pair_of, split
from r1ray.data.template import Message

Judgement: TypeAlias = Callable[[Any], int]
"""From the value of a column to the better answer: below 0 the first, above 0 the second, 0 where none is."""
Goodness: TypeAlias = Callable[[Mapping[str, Any]], float | None]
"""From an answer's columns to how good it is; None where nobody rated it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonLayout:
    """Columns in which a data set has two answers, and which of them is better."""

    title: str
    question: str = ""
    """"" where both answers are whole conversations."""
    answers: tuple[str, str]
    verdict: str
    means: Judgement

    @property
    def name(self) -> str:
        return f"{self.title} ({', '.join(filter(None, (self.question, *self.answers, self.verdict)))})"

    @property
    def joins(self) -> str:
        return ""

    def matches(self, columns: frozenset[str]) -> bool:
        return {*filter(None, [self.question.split(".")[0]]), *self.answers, self.verdict} <= columns

    def read(self, row: Row, number: int) -> list[RawExample]:
        """Return the one pair of a row. Raises MalformedRow and UnusableRow."""
        return [read_row(self._read, row, number)]

    def _read(self, row: Row, number: int) -> RawExample:
        refuse_media(row)
        side = self._side(row.get(self.verdict))
        columns = self.answers if side < 0 else self.answers[::-1]
        values = [parsed(row.get(column)) for column in columns]
        if self.question:
            question = question_of(value_of(row, self.question), self.question)
            answers = list(map(answer_of, values, columns))
        else:
            question, *answers = split(*map(conversation_of, values, columns), columns=columns)
        return pair_of(row, name_of(row, number), question, answers, columns=columns, margin=0.0)

    def _side(self, value: Any) -> int:
        try:
            side = self.means(value)
        except (LookupError, TypeError) as error:
            raise MalformedRow(f"{self.verdict} does not say which answer is better: {value!r:.40}") from error
        if not side:
            raise UnusableRow(f"{self.verdict} says that both answers are equally good")
        return side


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedLayout:
    """Columns in which a data set has several answers, and how good each is."""

    title: str
    question: str
    answers: str
    """The column that lists them; of rows that are joined, there is none."""
    text: str
    """The key of an answer's text."""
    goodness: Goodness
    joins: str = ""
    """Each row has one answer: those of one value in this column, which follow each other, are read together."""
    marks: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        columns = (self.question, self.text, *self.marks) if self.joins else (self.question, self.answers)
        return f"{self.title} ({', '.join(columns)})"

    def matches(self, columns: frozenset[str]) -> bool:
        return {self.question, self.text if self.joins else self.answers, *self.marks} <= columns

    def read(self, row: Row, number: int) -> list[RawExample]:
        """Return the pairs of a row. Raises MalformedRow and UnusableRow."""
        return read_row(self._read, row, number)

    def _read(self, row: Row, number: int) -> list[RawExample]:
        refuse_media(row)
        question = question_of(row.get(self.question), self.question)
        found = row.get(self.answers)
        if not isinstance(found, list):
            raise MalformedRow(f"{self.answers} needs a list of answers, found {found!r:.60}")
        columns = (self.text, self.text)
        pairs = [
            pair_of(row, f"{name_of(row, number)}#{i}", question, pair, columns=columns, margin=0.0)
            for i, pair in enumerate(self._ordered(found), start=1)
        ]
        if not pairs:
            raise UnusableRow(f"no two answers in {self.answers} differ in how good they are")
        return pairs

    def _ordered(self, found: Sequence[Mapping[str, Any]]) -> Iterator[tuple[list[Message], list[Message]]]:
        """Yield an answer and the next worse one, from the best to the worst; empty answers and ties have no place."""
        rated = [(self.goodness(answer), text_of(answer.get(self.text), self.text)) for answer in found]
        known = [(good, text) for good, text in rated if good is not None and text.strip()]
        order = sorted(known, key=lambda each: -each[0])
        for (good, better), (less, worse) in itertools.pairwise(order):
            if good > less and better != worse:
                yield answer_of(better, self.text), answer_of(worse, self.text)
