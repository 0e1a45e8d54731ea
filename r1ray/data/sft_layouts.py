"""The layouts of dialogues to learn from. Each line of :data:`EXAMPLES` is a layout, and README.md has a line for each.

    row --DialogueLayout.read--> RawExample

Columns are named as in the data set's card; ``a.b`` is the key ``b`` of the column ``a``. Besides its own columns,
every layout reads ``system`` or ``system_prompt``, ``tools``, and a column of reasoning (``messages.REASONING``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from r1ray.data.checks import MalformedRow, UnusableRow, read_row
from r1ray.data.dialogues import (
    Dialogue,
    RawExample,
    Row,
    below,
    dialogue_of,
    first_of,
    is_learned,
    name_of,
    value_of,
    with_system,
)
from r1ray.data.messages import (
    REASONING,
    answer_of,
    messages_of,
    question_of,
    reasoning_of,
    refuse_media,
    text_of,
    with_reasoning,
)
from r1ray.data.template import Message, messages_in
from r1ray.data.tool_calls import tools_of

Columns: TypeAlias = tuple[str, ...]
"""Alternative names of a column. The first one that has a value counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DialogueLayout:
    """Layout of a data set with columns of questions and answers."""

    title: str
    """Name of the data set or of the kind of file."""
    conversation: str = ""
    """Column of whole conversations; without it there are ``question`` and ``answer``."""
    question: Columns = ()
    answer: Columns = ()
    """Columns of the answer; next to a conversation, its answer if it has none."""
    reasoning: Columns = ()
    """Columns of reasoning that this layout requires. Other layouts use columns of ``REASONING`` if a file has them."""
    context: str = ""
    """Column of a text that the question is about. Not every row needs one."""
    history: str = ""
    """Column of earlier pairs of questions and answers, which are learned from, too. Not every row needs them."""
    marks: Columns = ()
    """Further columns by which the layout is recognised."""

    @property
    def name(self) -> str:
        """Title and columns of the layout."""
        others = ((self.context,), (self.history,), self.marks, self.reasoning, self.answer)
        columns = ((self.conversation,), self.question, *others)
        return f"{self.title} ({', '.join(' or '.join(names) for names in columns if any(names))})"

    @property
    def joins(self) -> str:
        return ""

    def matches(self, columns: frozenset[str]) -> bool:
        one_of_each = [self.question, self.answer, *((mark,) for mark in (*self.reasoning, *self.marks))]
        one_of_each += [(self.conversation,)] if self.conversation else []
        return all(any(name.split(".")[0] in columns for name in names) for names in one_of_each if names)

    def read(self, row: Row, number: int) -> list[RawExample]:
        """Return the one example of a row. Raises MalformedRow and UnusableRow."""
        return [read_row(self._read, row, number)]

    def _read(self, row: Row, number: int) -> RawExample:
        refuse_media(row)
        if any(row.get(label) is False for label in ("label", "kto_tag")):
            raise UnusableRow("the answer is labelled as a bad one")
        dialogue = self._conversation(row) if self.conversation else self._asked_and_answered(row)
        dialogue = replace(dialogue, question=with_system(row, dialogue.question), tools=tools_of(row))
        return RawExample(name_of(row, number), (self._with_reasoning(row, dialogue),))

    def _conversation(self, row: Row) -> Dialogue:
        messages = messages_of(row.get(self.conversation), self.conversation)
        if self.answer and messages[-1]["role"] != "assistant" and self._thought(row):
            messages += answer_of(*first_of(row, self.answer))  # without reasoning it is a reference, as for RL
        first = first_answer(messages)
        if first is None:
            raise UnusableRow(f"{self.conversation} has no turn of the assistant after a question")
        return dialogue_of(messages[:first], messages[first:], column=self.conversation)

    def _asked_and_answered(self, row: Row) -> Dialogue:
        value, column = first_of(row, self.answer)
        context = text_of(value_of(row, self.context), self.context) if self.context else ""
        question = below(question_of(*first_of(row, self.question)), context)
        replies = answer_of(value, column)
        if self.history and row.get(self.history):
            earlier = _turns(row[self.history], self.history)
            replies = [*earlier[1:], *messages_in(question), *replies]
            question = earlier[:1]
        return dialogue_of(question, replies, column=column)

    def _with_reasoning(self, row: Row, dialogue: Dialogue) -> Dialogue:
        thought = self._thought(row)
        if self.reasoning and not thought:
            raise UnusableRow(f"{self.reasoning[0]} is empty")
        *others, last = dialogue.replies
        return replace(dialogue, replies=(*others, with_reasoning(last, thought)))

    def _thought(self, row: Row) -> str:
        thoughts = (reasoning_of(value_of(row, column)) for column in self.reasoning or REASONING)
        return next(filter(None, thoughts), "")


def first_answer(messages: Sequence[Message]) -> int | None:
    """Return the index of the first answer to a question. The assistant's messages before a question are only shown."""
    roles = [message["role"] for message in messages]
    asked = next((index for index, role in enumerate(roles) if role not in ("assistant", "system", "developer")), None)
    return None if asked is None else next((i for i in range(asked, len(roles)) if is_learned(messages[i])), None)


def _turns(value: Any, column: str) -> list[Message]:
    """Return the messages of earlier pairs of questions and answers."""
    if not isinstance(value, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in value):
        raise MalformedRow(f"{column} needs pairs of a question and an answer, found {value!r:.60}")
    roles = ("user", "assistant")
    said = [(role, text) for pair in value for role, text in zip(roles, pair, strict=True)]
    return [{"role": role, "content": text_of(text, column)} for role, text in said]


EXAMPLES = (
    DialogueLayout(title="dolphin-r1", conversation="messages", answer=("answer",), marks=("reasoning",)),
    DialogueLayout(title="chat messages", conversation="messages"),
    DialogueLayout(title="ShareGPT", conversation="conversations"),
    DialogueLayout(title="WildChat", conversation="conversation"),
    DialogueLayout(
        title="s1K-1.1",
        question=("question",),
        reasoning=("deepseek_thinking_trajectory",),
        answer=("deepseek_attempt",),
    ),
    DialogueLayout(title="s1K", question=("question",), reasoning=("thinking_trajectories",), answer=("attempt",)),
    DialogueLayout(
        title="OpenThoughts, metadata",
        question=("problem",),
        reasoning=("deepseek_reasoning",),
        answer=("deepseek_solution",),
    ),
    DialogueLayout(
        title="medical-o1-reasoning", question=("Question",), reasoning=("Complex_CoT",), answer=("Response",)
    ),
    DialogueLayout(
        title="Chinese-DeepSeek-R1-Distill", question=("input",), reasoning=("reasoning_content",), answer=("content",)
    ),
    DialogueLayout(title="prompt and answer", question=("prompt",), answer=("response", "completion")),
    DialogueLayout(title="dolly", question=("instruction",), context="context", answer=("response",)),
    DialogueLayout(title="Alpaca", question=("instruction",), context="input", history="history", answer=("output",)),
    DialogueLayout(title="MetaMathQA", question=("query",), answer=("response",)),
    DialogueLayout(title="OpenOrca", question=("question",), answer=("response",)),
    DialogueLayout(title="OpenMathReasoning", question=("problem",), answer=("generated_solution",)),
    DialogueLayout(title="Hugging Face", question=("problem", "question"), answer=("solution", "answer")),
    DialogueLayout(title="Llama-Nemotron, AceReason, OpenCodeReasoning", question=("input",), answer=("output",)),
    DialogueLayout(title="verl", question=("extra_info.question",), answer=("extra_info.answer",)),
)
"""Layouts of supervised fine-tuning. The first one that matches a file's columns counts."""
