"""Layouts of multiple-choice questions, whose options become part of the question."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from r1ray.checks import Check, Choice
from r1ray.data.checks import LETTERS, MalformedRow, UnusableRow
from r1ray.data.layouts.layout import Layout
from r1ray.data.layouts.options import (
    LETTER,
    LISTS,
    Options,
    bare,
    in_columns,
    letter,
    listed,
    suffixed,
    suffixed_letter,
    text_of_option,
)
from r1ray.data.layouts.questions import asked
from r1ray.data.layouts.references import answered
from r1ray.data.layouts.values import text_of, value_of
from r1ray.data.template import Question

STEMS = ("question", "problem", "prompt", "question_stem", "query")
CONTEXT = ("article", "passage", "context", "premise")
FIRST = (
    *("option1", "option_1", "option_a", "optiona", "option0", "choice1", "choice_a", "choicea", "choice0"),
    *("answera", "answer0", "answer_a", "ending0", "sol1"),
)
"""Columns of the first option, in files with a column for each option."""


def _shown(question: Question, options: Options) -> Question:
    """Return the question with its options, unless it shows them already."""
    if len(options) < 2 or not all(text for _, text in options):
        raise MalformedRow("an option is missing")
    if len(options) > len(LETTERS):
        raise MalformedRow(f"there are {len(options)} options: needs at most {len(LETTERS)}")
    lines = [(letter, text) for letter, (_, text) in zip(LETTERS, options, strict=False)]
    asked_for = "Answer with the letter of the right option."
    if not isinstance(question, str):
        last = question[-1]
        return [*question[:-1], {**last, "content": str(_shown(last["content"], options))}]
    if all(any(f"{letter}{mark} {text}" in question for mark in (".", ")", ":")) for letter, text in lines):
        return f"{question}\n\n{asked_for}"
    return f"{question}\n\n" + "\n".join(f"{letter}. {text}" for letter, text in lines) + f"\n\n{asked_for}"


def _choice(name: str, columns: tuple[str, ...], options: Callable[[Mapping[str, Any]], Options]) -> Layout:
    """Return an entry of the table. Rows without options, which occur in mixed sets, ask for the answer itself."""
    stem = asked(*STEMS, context=CONTEXT)

    def question(row: Mapping[str, Any]) -> Question:
        found = bare(options(row))
        return _shown(stem(row), found) if found else stem(row)

    def check(row: Mapping[str, Any]) -> Check:
        found = bare(options(row))
        return Choice(letter(row, found), len(found)) if found else answered("answer")(row)

    return Layout(
        name=name,
        columns=columns,
        question=question,
        check=check,
        means="the letter of the right option",
        ids=("id", "question_id", "uuid"),
        default_domain="choice",
    )


WRONG = ("incorrect answer 1", "incorrect answer 2", "incorrect answer 3", "distractor1", "distractor2", "distractor3")
RIGHT = ("correct answer", "correct_answer")


def _shuffled(row: Mapping[str, Any]) -> tuple[Options, str]:
    """Return the options in an order that depends only on the question, and the letter of the right one."""
    right = text_of(row, *RIGHT).strip()
    if not right:
        raise UnusableRow("the reference answer is empty")
    texts = [right, *(text_of_option(row[name]) for name in WRONG if value_of(row, name) is not None)]
    order = list(range(len(texts)))
    random.Random(text_of(row, "question")).shuffle(order)
    return [("", texts[i]) for i in order], LETTERS[order.index(0)]


def _shuffled_check(row: Mapping[str, Any]) -> Check:
    options, letter = _shuffled(row)
    return Choice(letter, len(options))


CHOICES = (
    _choice(
        "MMLU, MMLU-Pro, MedQA, ARC, CommonsenseQA, AQuA, RACE",
        ("|".join(STEMS), "|".join(LISTS), "|".join(LETTER)),
        listed,
    ),
    Layout(
        name="WinoGrande and others with a column for each option",
        columns=("question|sentence|context|goal|ctx|prompt|problem", "|".join(FIRST), "|".join(LETTER)),
        question=lambda row: _shown(asked(*STEMS, "sentence", "goal", context=CONTEXT)(row), suffixed(row)),
        check=lambda row: Choice(suffixed_letter(row, suffixed(row)), len(suffixed(row))),
        means="the letter of the right option",
        default_domain="choice",
    ),
    _choice("MedMCQA", ("question", "opa", "opb", "cop"), in_columns(("opa", "opb", "opc", "opd"))),
    _choice("C-Eval, CMMLU", ("question", "a", "b", "answer"), in_columns(("a", "b", "c", "d", "e"))),
    Layout(
        name="GPQA, SciQ",
        columns=("question", "|".join(RIGHT), "incorrect answer 1|distractor1"),
        question=lambda row: _shown(asked("question")(row), _shuffled(row)[0]),
        check=_shuffled_check,
        means="the letter of the right option; the order of the options is one of the question's own",
        ids=("record id", "id"),
        default_domain="choice",
    ),
)
