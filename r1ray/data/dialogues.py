"""The layouts of supervised data that users already have, each turned into dialogues.

row --(layout)--> RawExample(dialogues = the one to learn from)
                  RawExample(dialogues = the preferred one and the other, margin)
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from r1ray.data.checks import MalformedRow, UnusableRow, is_absent, read_row
from r1ray.data.template import Message, Question

Row: TypeAlias = Mapping[str, Any]
ROLES = {"human": "user", "gpt": "assistant"}
"""What ShareGPT calls them; other names are as they should be."""
_TURN = re.compile(r"\n\n(Human|Assistant):[ \n]?")


@dataclass(frozen=True, slots=True)
class Dialogue:
    """What was asked, and the answers to learn from."""

    question: Question
    replies: tuple[Message, ...]
    """From the first answer to the last: other messages may lie between them."""


@dataclass(frozen=True, slots=True)
class RawExample:
    """A row before it is rendered and tokenized."""

    id: str
    dialogues: tuple[Dialogue, ...]
    """One; or two with the same question, the preferred one first."""
    margin: float = 0.0


@dataclass(frozen=True, slots=True)
class Layout:
    name: str
    matches: Callable[[frozenset[str]], bool]
    """Whether a file with these columns is of this layout."""
    reader: Callable[[Row, int], RawExample]

    def read(self, row: Row, number: int) -> RawExample:
        """Return the example of a row. Raises MalformedRow and UnusableRow."""
        return read_row(self.reader, row, number)


def recognise(columns: frozenset[str], layouts: Sequence[Layout]) -> Layout | None:
    """The first layout of a file with these columns, None where it is none of them."""
    return next((layout for layout in layouts if layout.matches(columns)), None)


# ---------------------------------------------------------------------- fields


def _messages(value: Any, column: str) -> list[Message]:
    """Chat messages, as ``{role, content}`` or ShareGPT's ``{from, value}``."""
    if not isinstance(value, list) or not value:
        raise MalformedRow(f"{column} needs a list of {{role, content}} messages, found {value!r:.60}")
    messages = []
    for message in value:
        found = message if isinstance(message, Mapping) else {}
        role = found.get("role") if found.get("role") is not None else found.get("from")
        content = found.get("content") if "content" in found else found.get("value")
        if not isinstance(role, str) or not isinstance(content, str):
            raise MalformedRow(f"{column} needs messages with a role and a text each, found {message!r:.60}")
        messages.append({"role": ROLES.get(role, role), "content": content})
    return messages


def _question(value: Any, column: str) -> Question:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, list) and value:
        return _messages(value, column)
    raise MalformedRow(f"{column} needs a string or chat messages, found {value!r:.60}")


def _text(value: Any) -> str:
    return "" if is_absent(value) else str(value)


def _answer(value: Any, column: str) -> list[Message]:
    """An answer that is a text, or messages of the assistant."""
    if isinstance(value, list):
        messages = _messages(value, column)
        if messages[0]["role"] != "assistant":
            raise MalformedRow(f"{column} needs to begin with the assistant's turn, found {messages[0]['role']!r:.40}")
        return messages
    return [{"role": "assistant", "content": _text(value)}]


def _dialogue(question: Question, replies: Sequence[Message], *, column: str) -> Dialogue:
    """``replies`` up to the last answer. Raises UnusableRow where that is empty."""
    answers = [index for index, message in enumerate(replies) if message["role"] == "assistant"]
    if not replies[answers[-1]]["content"].strip():
        raise UnusableRow(f"{column} is empty")
    return Dialogue(question, tuple(replies[: answers[-1] + 1]))


def _name(row: Row, number: int) -> str:
    names = (row.get(key) for key in ("id", "uuid", "prompt_id"))
    return next((str(name) for name in names if name not in (None, "")), f"row {number}")


def _first_of(row: Row, *columns: str) -> tuple[Any, str]:
    """The first of these columns that has a value, and its name; the last one where none has."""
    name = next((column for column in columns if row.get(column) is not None), columns[-1])
    return row.get(name), name


# ---------------------------------------------------------------------- examples


def _read_messages(row: Row, number: int) -> RawExample:
    value, column = _first_of(row, "messages", "conversations")
    messages = _messages(value, column)
    if isinstance(row.get("system"), str) and row["system"] and messages[0]["role"] != "system":
        messages.insert(0, {"role": "system", "content": row["system"]})
    first = next((index for index, message in enumerate(messages) if message["role"] == "assistant"), None)
    if not first:
        found = ", ".join(message["role"] for message in messages[:4])
        raise MalformedRow(f"{column} needs a turn of the assistant after a question, found {found}")
    return RawExample(_name(row, number), (_dialogue(messages[:first], messages[first:], column=column),))


def _read_prompt(row: Row, number: int) -> RawExample:
    value, column = _first_of(row, "response", "completion")
    question = _question(row.get("prompt"), "prompt")
    return RawExample(_name(row, number), (_dialogue(question, _answer(value, column), column=column),))


def _read_instruction(row: Row, number: int) -> RawExample:
    """Alpaca: the input, where there is one, below the instruction."""
    instruction = _question(row.get("instruction"), "instruction")
    context = _text(row.get("input"))
    question = f"{instruction}\n\n{context}" if isinstance(instruction, str) and context.strip() else instruction
    return RawExample(_name(row, number), (_dialogue(question, _answer(row.get("output"), "output"), column="output"),))


def _read_problem(row: Row, number: int) -> RawExample:
    question = _question(*_first_of(row, "problem", "question"))
    value, column = _first_of(row, "solution", "answer")  # a worked solution teaches more than its answer
    return RawExample(_name(row, number), (_dialogue(question, _answer(value, column), column=column),))


EXAMPLES = (
    Layout("chat messages (messages)", lambda c: "messages" in c, _read_messages),
    Layout("ShareGPT (conversations)", lambda c: "conversations" in c, _read_messages),
    Layout(
        "prompt, and response or completion",
        lambda c: "prompt" in c and bool({"response", "completion"} & c),
        _read_prompt,
    ),
    Layout("Alpaca (instruction, input, output)", lambda c: {"instruction", "output"} <= c, _read_instruction),
    Layout(
        "Hugging Face (problem or question, solution or answer)",
        lambda c: bool({"problem", "question"} & c) and bool({"solution", "answer"} & c),
        _read_problem,
    ),
)
"""Of supervised fine-tuning."""


# ---------------------------------------------------------------------- pairs


def _margin(row: Row) -> float:
    """The column ``margin``; else ``score_chosen`` - ``score_rejected``; else 0."""
    columns = ("margin",) if row.get("margin") is not None else ("score_chosen", "score_rejected")
    values = [row.get(column) for column in columns]
    if any(value is None for value in values):
        return 0.0
    for column, value in zip(columns, values, strict=True):
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise MalformedRow(f"{column} needs a finite number, found {value!r:.40}")
    return float(values[0] - values[1] if len(values) == 2 else values[0])  # type: ignore[operator, arg-type]


def _transcript(text: str, column: str) -> list[Message]:
    """Anthropic's hh-rlhf: ``\\n\\nHuman: ...\\n\\nAssistant: ...``."""
    parts = _TURN.split(text)
    if len(parts) < 3 or parts[0].strip():
        raise MalformedRow(
            f"{column} is a string without a prompt column: needs '\\n\\nHuman: ...\\n\\nAssistant: ...', found "
            f"{text!r:.60}"
        )
    roles = {"Human": "user", "Assistant": "assistant"}
    turns = zip(parts[1::2], parts[2::2], strict=True)
    return [{"role": roles[who], "content": said.strip()} for who, said in turns]


def _conversation(row: Row, column: str) -> list[Message]:
    value = row.get(column)
    return _transcript(value, column) if isinstance(value, str) else _messages(value, column)


def _split(chosen: list[Message], rejected: list[Message]) -> tuple[list[Message], list[Message], list[Message]]:
    """The messages that two conversations have in common, and the rest of each, from the answer on."""
    same = 0
    while same < min(len(chosen), len(rejected)) - 1 and chosen[same] == rejected[same]:
        same += 1
    if not same or {chosen[same]["role"], rejected[same]["role"]} != {"assistant"}:
        raise UnusableRow("chosen and rejected are no two answers to one question")
    return chosen[:same], chosen[same:], rejected[same:]


def _read_pair(row: Row, number: int) -> RawExample:
    chosen, rejected = row.get("chosen"), row.get("rejected")
    is_answer = not isinstance(chosen, list) or (
        bool(chosen) and isinstance(chosen[0], Mapping) and chosen[0].get("role") == "assistant"
    )
    question: Question
    if row.get("prompt") is not None and is_answer:
        question = _question(row["prompt"], "prompt")
        answers = [_answer(chosen, "chosen"), _answer(rejected, "rejected")]
    else:
        question, *answers = _split(_conversation(row, "chosen"), _conversation(row, "rejected"))
    if answers[0] == answers[1]:
        raise UnusableRow("chosen and rejected are the same")
    dialogues = [_dialogue(question, a, column=c) for a, c in zip(answers, ("chosen", "rejected"), strict=True)]
    return RawExample(_name(row, number), tuple(dialogues), _margin(row))


PAIRS = (
    Layout("prompt, chosen, rejected", lambda c: {"prompt", "chosen", "rejected"} <= c, _read_pair),
    Layout("whole conversations (chosen, rejected)", lambda c: {"chosen", "rejected"} <= c, _read_pair),
)
"""Of preferences; with ``margin``, or ``score_chosen`` and ``score_rejected``, where the file has them."""
