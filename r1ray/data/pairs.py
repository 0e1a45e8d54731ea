"""Rows with a chosen and a rejected answer, read as pairs.

    row --PairLayout.read--> RawExample(dialogues = chosen, rejected)

Only the column ``margin`` gives a margin. Ratings (``score_chosen`` and the like) have a scale of their own, so they
give no margin and only reveal a pair that is the wrong way round.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from r1ray.data.checks import MalformedRow, UnusableRow, read_row
from r1ray.data.dialogues import RawExample, Row, below, dialogue_of, name_of, with_system
from r1ray.data.messages import answer_of, messages_of, parsed, question_of, refuse_media, text_of, transcript
from r1ray.data.template import Message, Question
from r1ray.data.tool_calls import tools_of

RATINGS = (
    ("score_chosen", "score_rejected"),
    ("chosen_score", "rejected_score"),
    ("chosen_rating", "rejected_rating"),
)
"""Columns with ratings of both answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairLayout:
    """Layout of a data set with columns of chosen and rejected answers."""

    title: str
    question: str = ""
    """Column of the question; "" if both answers are whole conversations."""
    context: str = ""
    """Column of a text that the question is about. Not every row needs one."""
    chosen: str = "chosen"
    rejected: str = "rejected"
    marks: tuple[str, ...] = ()
    """Further columns by which the layout is recognised."""

    @property
    def name(self) -> str:
        columns = (self.question, self.context, self.chosen, self.rejected)
        return f"{self.title} ({', '.join(filter(None, columns))})"

    @property
    def joins(self) -> str:
        return ""

    def matches(self, columns: frozenset[str]) -> bool:
        return {*filter(None, (self.question, self.chosen, self.rejected)), *self.marks} <= columns

    def read(self, row: Row, number: int) -> list[RawExample]:
        """Return the one pair of a row. Raises MalformedRow and UnusableRow."""
        return [read_row(self._read, row, number)]

    def _read(self, row: Row, number: int) -> RawExample:
        refuse_media(row)
        _check_ratings(row)
        values = (parsed(row.get(self.chosen)), parsed(row.get(self.rejected)))
        columns = (self.chosen, self.rejected)
        asked = row.get(self.question) if self.question else None
        if _is_conversation(values[0]) or not self.question:
            question, *answers = split(*map(conversation_of, values, columns), columns=columns)
        else:
            context = text_of(row.get(self.context), self.context) if self.context else ""
            question = below(question_of(asked, self.question), context)
            answers = list(map(answer_of, values, columns))
        return pair_of(row, name_of(row, number), question, answers, columns=columns, margin=_margin(row))


def _is_conversation(value: Any) -> bool:
    """Return whether an answer includes the question: it is a transcript, or begins with a message of another role."""
    if isinstance(value, str):
        return value.startswith("\n\nHuman:")
    return isinstance(value, list) and bool(value) and messages_of(value[:1], "chosen")[0]["role"] != "assistant"


def conversation_of(value: Any, column: str) -> list[Message]:
    """Return the messages of a conversation that is a list or a transcript."""
    return transcript(value, column) if isinstance(value, str) else messages_of(value, column)


def split(
    chosen: list[Message], rejected: list[Message], *, columns: Sequence[str]
) -> tuple[Question, list[Message], list[Message]]:
    """Return the messages that two conversations share, and the rest of each, from the answer on."""
    same = 0
    while same < min(len(chosen), len(rejected)) - 1 and chosen[same] == rejected[same]:
        same += 1
    if not same or {chosen[same]["role"], rejected[same]["role"]} != {"assistant"}:
        raise UnusableRow(f"{' and '.join(columns)} are not two answers to one question")
    return chosen[:same], chosen[same:], rejected[same:]


def pair_of(
    row: Row, name: str, question: Question, answers: Sequence[list[Message]], *, columns: Sequence[str], margin: float
) -> RawExample:
    """Return the example of two answers to one question, the better one first."""
    if answers[0] == answers[1]:
        raise UnusableRow(f"{' and '.join(columns)} are the same")
    question, tools = with_system(row, question), tools_of(row)
    dialogues = [dialogue_of(question, a, column=c, tools=tools) for a, c in zip(answers, columns, strict=True)]
    return RawExample(name, tuple(dialogues), margin)


def _margin(row: Row) -> float:
    value = row.get("margin")
    if value is None:
        return 0.0
    if not is_number(value):
        raise MalformedRow(f"margin needs a finite number, found {value!r:.40}")
    if value < 0:
        raise UnusableRow("its margin is negative: the rejected answer would be the better one")
    return float(value)


def _check_ratings(row: Row) -> None:
    for columns in RATINGS:
        ratings: list[Any] = [row.get(column) for column in columns]
        if all(map(is_number, ratings)) and ratings[0] < ratings[1]:
            raise UnusableRow(f"{columns[1]} is above {columns[0]}")


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
