"""Dialogues and pairs: the common form into which rows of supervised data of any layout are read.

row --(sft_layouts)---> RawExample(dialogues = the one to learn from)
row --(pair_layouts)--> RawExample(dialogues = the preferred one and the other, margin), of ranked answers several
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar

from r1ray.data.checks import UnusableRow
from r1ray.data.template import Message, Question, messages_in

Row: TypeAlias = Mapping[str, Any]
JOINED = "rows"
"""The column that holds rows that are read together."""
SYSTEM = ("system", "system_prompt")
"""Columns that hold a system prompt, next to conversations that have none."""


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A question and the answers to learn from."""

    question: Question
    replies: tuple[Message, ...]
    """Messages from the first answer to the last. Other messages may lie between the answers."""
    tools: str = ""
    """The tools that were offered, as JSON."""


@dataclass(frozen=True, slots=True)
class RawExample:
    """A row before rendering and tokenization."""

    id: str
    dialogues: tuple[Dialogue, ...]
    """One dialogue, or two with the same question, the preferred one first."""
    margin: float = 0.0


class Layout(Protocol):
    """A known set of columns and the reader of its rows."""

    @property
    def name(self) -> str: ...

    @property
    def joins(self) -> str:
        """The column whose value is the same in consecutive rows that are read together; "" if there is none."""
        ...

    def matches(self, columns: frozenset[str]) -> bool:
        """Return whether a file with these columns is of this layout."""
        ...

    def read(self, row: Row, number: int) -> list[RawExample]:
        """Return the examples of a row. Raises MalformedRow and UnusableRow."""
        ...


L = TypeVar("L", bound=Layout)


def recognise(columns: frozenset[str], layouts: Sequence[L]) -> L | None:
    """Return the first layout that matches a file with these columns; None if there is none."""
    return next((layout for layout in layouts if layout.matches(columns)), None)


def unknown_columns(columns: frozenset[str], layouts: Sequence[Layout]) -> str:
    """Return the text of a message about a file that has no known layout."""
    reason = next((f" ({why})" for known, why in NOT_READ.items() if known <= columns), "")
    known = "; ".join(layout.name for layout in layouts)
    return f"found the columns {', '.join(sorted(columns))}{reason}; needs those of one of these layouts: {known}"


NOT_READ: dict[frozenset[str], str] = {
    frozenset({"input_ids"}): "tokens of some tokenizer: text is needed",
    frozenset({"prompt", "completion", "label"}): "single answers that are labelled, as for KTO, are no pairs",
    frozenset({"message_id", "parent_id"}): "one message a row, of a tree of messages: whole conversations are needed",
    frozenset({"text"}): "a text does not say which part of it is the answer",
}
"""Columns of published data that are not read, with the reason. Only used if no layout has them."""


def joined(rows: Iterable[tuple[int, Row]], layout: Layout) -> Iterator[tuple[int, Row]]:
    """Yield the rows as the layout reads them. Rows that it reads together become one row that holds them."""
    if not layout.joins:
        yield from rows
        return
    for _, together in itertools.groupby(rows, key=lambda numbered: numbered[1].get(layout.joins)):
        members = list(together)
        number, first = members[0]
        yield number, {**first, JOINED: [row for _, row in members]}


# ---------------------------------------------------------------------- fields


def name_of(row: Row, number: int) -> str:
    """Return the data set's own name of a row, or its number."""
    names = (row.get(key) for key in ("id", "uuid", "prompt_id"))
    return next((str(name) for name in names if name not in (None, "")), f"row {number}")


def value_of(row: Row, column: str) -> Any:
    """Return the value of a column, or for ``a.b`` that of the key ``b`` in the column ``a``; None if there is none."""
    value: Any = row
    for key in column.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def first_of(row: Row, columns: Sequence[str]) -> tuple[Any, str]:
    """Return the value and the name of the first of these columns that has a value, or of the last one if none has."""
    name = next((column for column in columns if value_of(row, column) is not None), columns[-1])
    return value_of(row, name), name


def with_system(row: Row, question: Question) -> Question:
    """Return the question after the row's system prompt, if it has one and the question does not begin with one."""
    prompt = next((row[column] for column in SYSTEM if isinstance(row.get(column), str) and row[column].strip()), None)
    if prompt is None:
        return question
    messages = messages_in(question)
    return messages if messages[0]["role"] == "system" else [{"role": "system", "content": prompt}, *messages]


def below(question: Question, context: str) -> Question:
    """Return the question followed by the text that it is about."""
    return f"{question}\n\n{context}" if isinstance(question, str) and context.strip() else question


def dialogue_of(question: Question, replies: Sequence[Message], *, column: str, tools: str = "") -> Dialogue:
    """Return the dialogue up to its last answer.

    Raises:
        UnusableRow: one of the answers is empty, or there is none. A model would learn to answer nothing.
    """
    answers = [index for index, message in enumerate(replies) if is_learned(message)]
    if not answers:
        raise UnusableRow(f"{column} has no answer")
    if not all(replies[index]["content"].strip() or "tool_calls" in replies[index] for index in answers):
        raise UnusableRow(f"{column} is empty" if len(answers) == 1 else f"an answer in {column} is empty")
    return Dialogue(question, tuple(replies[: answers[-1] + 1]), tools)


def is_learned(message: Message) -> bool:
    """Return whether a message is an answer to learn from: it is the assistant's and its weight is not 0."""
    return message["role"] == "assistant" and "weight" not in message
