"""Layouts of multiple-choice questions, whose options become a part of the question."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from r1ray.checks import Check, Choice
from r1ray.data.checks import LETTERS, MalformedRow, UnusableRow
from r1ray.data.layouts.layout import Layout
from r1ray.data.layouts.questions import asked
from r1ray.data.layouts.references import answered
from r1ray.data.layouts.values import kind_of, label_of, structure_in, text_of, value_of, without_none
from r1ray.data.template import Question

STEMS = ("question", "problem", "prompt", "question_stem", "query")
CONTEXT = ("article", "passage", "context", "premise")
LISTS = ("options", "choices", "endings")
LETTER = ("answer_idx", "answer_index", "answer_letter", "answerkey", "answer_key", "correct_option", "cop", "correct",
          "label", "gold")  # fmt: skip
"""Columns that say which option is right by its letter or number."""
_LABELLED = re.compile(r"^[(\[]?([A-Z])[)\].:\u3001]\s*(.*)$", re.DOTALL)
_SEVERAL = re.compile(r"[A-Z](?:[,; ]*[A-Z])+")
Options = Sequence[tuple[str, str]]
"""Label and text of each, as the row has them; a label is a letter, a number, or empty."""


def _listed(row: Mapping[str, Any]) -> Options:
    """Return the options of one column: texts, ``{"A": text}``, ``{"text": [...], "label": [...]}`` or objects."""
    value = value_of(row, *LISTS)
    if value is None:
        return []
    found = structure_in(value) if isinstance(value, str) else value
    if isinstance(found, Mapping):
        held = without_none(found)
        if isinstance(held.get("text"), list):
            labels = held.get("label") or [""] * len(held["text"])
            return [(str(label), _text(text)) for label, text in zip(labels, held["text"], strict=True)]
        return [(str(label), _text(text)) for label, text in held.items()]
    if not isinstance(found, list):
        raise MalformedRow(f"the options are no list: {kind_of(value)}")
    return [_option(option) for option in found if option is not None]


def _option(option: Any) -> tuple[str, str]:
    if isinstance(option, Mapping):
        return label_of(option, "label", "key", "id"), _text(value_of(option, "text", "value", "content", "option"))
    return "", _text(option)


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise MalformedRow(f"an option needs text, found {kind_of(value)}")
    return str(value).strip()


def _bare(options: Options) -> Options:
    """Return the options without the labels that their texts begin with, as AQuA has them: ``A)21``."""
    matches = [_LABELLED.match(text) for _, text in options]
    if [match[1] for match in matches if match] != list(LETTERS[: len(options)]):
        return options
    return [(match[1], match[2].strip()) for match in matches if match]


def _columns(names: Sequence[str]) -> Callable[[Mapping[str, Any]], Options]:
    """Return a reader of options that have a column each."""
    return lambda row: [("", _text(row[name])) for name in names if value_of(row, name) is not None]


def _suffixed(row: Mapping[str, Any]) -> Options:
    """Return options of columns such as ``option1`` and ``answerB``, labelled by what their names end with."""
    found = sorted((match[2], match[0]) for name in row if (match := _NUMBERED.fullmatch(name)))
    return [(label.upper(), _text(row[name])) for label, name in found if value_of(row, name) is not None]


_NUMBERED = re.compile(r"(option|choice|answer|ending|sol)_?([a-h]|\d)")
FIRST = (
    *("option1", "option_1", "option_a", "optiona", "option0", "choice1", "choice_a", "choicea", "choice0"),
    *("answera", "answer0", "answer_a", "ending0", "sol1"),
)


def _suffixed_letter(row: Mapping[str, Any], options: Options) -> str:
    """Return the letter of the right option. A number that no column ends with could be counted from 0 or from 1."""
    value = value_of(row, *LETTER, "answer")
    labels = [label for label, _ in options]
    if isinstance(value, int) or (isinstance(value, str) and value.strip().isdecimal()):
        if str(value).strip() not in labels or (isinstance(value, int) and "0" not in labels):
            raise MalformedRow(f"the answer is {value!r}, and the options are {', '.join(labels)}: needs one of them")
        return LETTERS[labels.index(str(value).strip())]
    return _letter(row, options)


def _letter(row: Mapping[str, Any], options: Options) -> str:
    """Return the letter of the right option. What two columns say of it has to agree."""
    said = [(name, row[name]) for name in (*LETTER, "answer") if value_of(row, name) is not None]
    if not said:
        raise UnusableRow("the reference answer is empty")
    letters = {name: _letter_of(value, options) for name, value in said}
    if len(set(letters.values())) > 1:
        raise MalformedRow(f"two columns name different options: {', '.join(f'{n} {v}' for n, v in letters.items())}")
    return next(iter(letters.values()))


def _letter_of(value: Any, options: Options) -> str:
    """Return the letter that a letter, a label, an option's text or a position from 0 on means."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise MalformedRow(f"the answer is {kind_of(value)}: needs the letter of one option")
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
    if text == "-1":  # Hugging Face's mark of a test set without labels
        raise UnusableRow("the reference answer is not given")
    labels, texts = [label for label, _ in options], [option for _, option in options]
    letters = LETTERS[: len(options)]
    if isinstance(value, str) and text in labels:
        return letters[labels.index(text)]
    if _SEVERAL.fullmatch(text) and set(re.findall("[A-Z]", text)) <= set(letters):
        raise UnusableRow(f"several options are right: {text:.40}")
    bare = text.strip("().").upper()
    if isinstance(value, str) and len(bare) == 1 and bare in letters:
        return bare
    if isinstance(value, str) and texts.count(text) == 1:
        return letters[texts.index(text)]
    if text.isdecimal() and int(text) < len(options):
        return letters[int(text)]
    raise MalformedRow(f"the answer {text!r:.60} is none of the {len(options)} options")


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
    """Return an entry. Rows without options, which mixed sets have, ask for the answer itself."""
    stem = asked(*STEMS, context=CONTEXT)

    def question(row: Mapping[str, Any]) -> Question:
        found = _bare(options(row))
        return _shown(stem(row), found) if found else stem(row)

    def check(row: Mapping[str, Any]) -> Check:
        found = _bare(options(row))
        return Choice(_letter(row, found), len(found)) if found else answered("answer")(row)

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
    """Return the options in an order that the question alone decides, and the letter of the right one."""
    right = text_of(row, *RIGHT).strip()
    if not right:
        raise UnusableRow("the reference answer is empty")
    texts = [right, *(_text(row[name]) for name in WRONG if value_of(row, name) is not None)]
    order = list(range(len(texts)))
    random.Random(text_of(row, "question")).shuffle(order)
    return [("", texts[i]) for i in order], LETTERS[order.index(0)]


def _shuffled_check(row: Mapping[str, Any]) -> Check:
    options, letter = _shuffled(row)
    return Choice(letter, len(options))


CHOICES = (
    _choice(
        "MMLU, MMLU-Pro, MedQA, ARC, CommonsenseQA, AQuA, RACE",
        ("|".join(STEMS), "|".join(LISTS), "|".join((*LETTER, "answer"))),
        _listed,
    ),
    Layout(
        name="WinoGrande and others with a column for each option",
        columns=("question|sentence|context|goal|ctx|prompt|problem", "|".join(FIRST), "|".join((*LETTER, "answer"))),
        question=lambda row: _shown(asked(*STEMS, "sentence", "goal", context=CONTEXT)(row), _suffixed(row)),
        check=lambda row: Choice(_suffixed_letter(row, _suffixed(row)), len(_suffixed(row))),
        means="the letter of the right option",
        default_domain="choice",
    ),
    _choice("MedMCQA", ("question", "opa", "opb", "cop"), _columns(("opa", "opb", "opc", "opd"))),
    _choice("C-Eval, CMMLU", ("question", "a", "b", "answer"), _columns(("a", "b", "c", "d", "e"))),
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
