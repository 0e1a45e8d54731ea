"""Rows with two answers of which one is better, and rows with several ranked answers, read as pairs.

    row --ComparisonLayout.read--> a pair
    row --RankedLayout.read------> a pair of each two consecutive answers: at most K - 1 pairs of K answers

Equally good answers make no pair. The quality of answers gives an order but no margin.
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
"""Function from the value of a column to the better answer: below 0 the first, above 0 the second, 0 neither."""
Goodness: TypeAlias = Callable[[Mapping[str, Any]], float | None]
"""Function from an answer's columns to its quality; None if it has no rating."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonLayout:
    """Layout of a data set with columns for two answers and for the better one."""

    title: str
    question: str = ""
    """Column of the question; "" if both answers are whole conversations."""
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
    """Layout of a data set with columns for several answers and their quality."""

    title: str
    question: str
    answers: str
    """The column that lists the answers. Rows that are joined have none."""
    text: str
    """The key of an answer's text."""
    goodness: Goodness
    joins: str = ""
    """Column by which rows with one answer each are joined: consecutive rows with the same value are read together."""
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
        """Yield each answer with the next worse one, from best to worst. Empty answers and ties are left out."""
        rated = [(self.goodness(answer), text_of(answer.get(self.text), self.text)) for answer in found]
        known = [(good, text) for good, text in rated if good is not None and text.strip()]
        order = sorted(known, key=lambda each: -each[0])
        for (good, better), (less, worse) in itertools.pairwise(order):
            if good > less and better != worse:
                yield answer_of(better, self.text), answer_of(worse, self.text)
