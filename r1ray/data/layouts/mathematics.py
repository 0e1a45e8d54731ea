"""Layouts of questions with a short answer: mathematics and facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from r1ray.checks import Check
from r1ray.data.checks import MalformedRow, UnusableRow, parse_check
from r1ray.data.layouts.ground_truths import check_of, readable
from r1ray.data.layouts.layout import Layout
from r1ray.data.layouts.questions import asked
from r1ray.data.layouts.references import answered
from r1ray.data.layouts.values import label_of, value_of
from r1ray.data.template import Question

EQUAL = "an answer equal to the reference"
FINAL = r"an answer equal to the reference; of a solution, to what follows `####`, or is in its last `\boxed{}`"
CONTEXT = ("context", "passage", "article")
ANSWERS = ("answer", "final_answer", "expected_answer", "ground_truth", "reference_answer", "gold_answer", "label",
           "target", "solution")  # fmt: skip
"""Columns of an answer. The solution is used only if there is no other."""


def _refuse_invalid(row: Mapping[str, Any]) -> None:
    """Raise UnusableRow for a problem that NuminaMath-1.5, or a set derived from it, marks as a proof or invalid."""
    if label_of(row, "question_type").lower() == "proof":
        raise UnusableRow("question_type is proof")
    for column in ("problem_is_valid", "solution_is_valid"):
        if (said := label_of(row, column)) and said.lower() != "yes":
            raise UnusableRow(f"{column} is {said!r:.40}")


def _numina(row: Mapping[str, Any]) -> Check:
    _refuse_invalid(row)
    return answered("answer")(row)


def _facts(row: Mapping[str, Any]) -> Check:
    if option := next((name for name in ("label", "correct", "answerkey", "answer_idx") if name in row), None):
        raise MalformedRow(f"answers beside {option} are options: data.check can make a check of them")
    return readable(value_of(row, "golden_answers", "answers"), column="golden_answers or answers")


def _countdown_question(row: Mapping[str, Any]) -> Question:
    """Return TinyZero's question. The rows contain none."""
    numbers = ", ".join(map(str, value_of(row, "nums", "numbers")))
    return (
        f"Using the numbers [{numbers}], create an equation that equals {label_of(row, 'target')}. You can use basic "
        "arithmetic operations (+, -, *, /) and each number can only be used once."
    )


def _countdown(row: Mapping[str, Any]) -> Check:
    return parse_check({"type": "countdown", "numbers": value_of(row, "nums", "numbers"), "target": row.get("target")})


def _label(row: Mapping[str, Any]) -> Check:
    """Return the check by a label that is an answer. A label can also be the class of a pair of sentences, as in BoolQ,
    which is refused."""
    if sentence := next((name for name in ("passage", "premise", "hypothesis") if name in row), None):
        raise MalformedRow(f"label beside {sentence} is a class: data.columns says where an answer stands")
    return check_of(row.get("label"), column="label")


def _generic(row: Mapping[str, Any]) -> Check:
    """Return the check by the answer, or by the solution if there is no answer. TriviaQA's answer is an object."""
    _refuse_invalid(row)
    name = next((name for name in ANSWERS if value_of(row, name) is not None), ANSWERS[0])
    found = row.get(name)
    if isinstance(found, Mapping) and "aliases" in found:
        return readable(found, column=name)
    return answered(name)(row) if name == "solution" else check_of(found, column=name)


MATH = (
    Layout(
        name="NuminaMath-1.5",
        columns=("problem", "answer", "question_type", "problem_is_valid"),
        question=asked("problem"),
        check=_numina,
        means=f"{EQUAL}; proofs, `notfound` and invalid problems are left out",
    ),
    Layout(
        name="Countdown-Tasks",
        columns=("nums|numbers", "target"),
        question=_countdown_question,
        check=_countdown,
        means="an expression of the numbers, each used exactly once, that comes to the target",
    ),
    Layout(
        name="FlashRAG, SQuAD, open NQ",
        columns=("question", "golden_answers|answers"),
        question=asked("question", context=CONTEXT),
        check=_facts,
        means="one of the answers, but for case, articles and punctuation",
        default_domain="facts",
    ),
    Layout(
        name="DeepMath-103K",
        columns=("question|problem|prompt", "final_answer"),
        question=asked("question", "problem", "prompt", context=CONTEXT),
        check=answered("final_answer"),
        means=EQUAL,
    ),
    Layout(
        name="OpenMathReasoning",
        columns=("problem|question|prompt", "expected_answer"),
        question=asked("problem", "question", "prompt"),
        check=answered("expected_answer"),
        means=EQUAL,
    ),
    Layout(
        name="OpenRLHF, slime",
        columns=("prompt|input|question|problem|messages", "label"),
        question=asked("prompt", "input", "question", "problem", "messages"),
        check=_label,
        means=EQUAL,
    ),
    Layout(
        name="Hugging Face (GSM8K, MATH, DeepScaleR, Polaris, Big-Math, open-r1)",
        columns=("problem|question", "answer|solution|reference_answer|ground_truth"),
        question=asked("problem", "question", context=CONTEXT),
        check=_generic,
        means=FINAL,
        domains=("domain",),
    ),
    Layout(
        name="TRL",
        columns=("prompt", "solution|answer|ground_truth|final_answer|expected_answer"),
        question=asked("prompt"),
        check=_generic,
        means=FINAL,
        domains=("domain",),
    ),
)
