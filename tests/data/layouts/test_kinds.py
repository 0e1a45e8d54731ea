"""Rows of a layout that would be misread: each kind is refused, or set aside, with its reason."""

from __future__ import annotations

import json
from typing import Any

import pytest

from r1ray.checks import Choice, CodeTests, Instructions, MathAnswer, Reading, Rule
from r1ray.data.checks import MalformedRow, UnusableRow
from r1ray.data.layouts import recognise
from r1ray.data.layouts.layout import Row
from tests.data.layouts.rows_code import CODECONTESTS
from tests.data.layouts.rows_frameworks import SYNTHETIC, SYNTHETIC_CODE, TULU_IF, verl
from tests.data.layouts.rows_math import NUMINA


def check(row: Row) -> Any:
    layout = recognise(row)
    assert layout is not None
    return layout.read(row, 0).check


def tulu(**rule: Any) -> dict[str, Any]:
    return {**TULU_IF, "ground_truth": json.dumps(rule)}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({**NUMINA, "question_type": "proof"}, "question_type is proof"),
        ({**NUMINA, "answer": "notfound"}, "'notfound', which is no answer"),
        ({**NUMINA, "problem_is_valid": "Incomplete"}, "problem_is_valid is 'Incomplete'"),
        ({**NUMINA, "solution_is_valid": "Problem not solved"}, "solution_is_valid is"),
        ({"problem": "Prove it.", "solution": "As equality is reflexive, x = x. This is all."}, "solution is prose"),
        ({"question": "How many?", "answer": "They have 3 + 4 = 7 apples. So it is 7."}, "answer is prose"),
        (
            {**verl("Write", "Roses"), "reward_model": {"style": "model", "ground_truth": "Roses"}},
            "style",
        ),
        ({**CODECONTESTS, "input_file": "in.txt"}, "reads or writes a file"),
        ({**CODECONTESTS, "description": "See <image>."}, "shows an image"),
        ({**SYNTHETIC, "task_type": "llm_judgeable_groundtruth_similarity"}, "no check for the task type llm_judge"),
        ({**SYNTHETIC, "task_type": "code_output_prediction", "verification_info": '{"output": "1"}'}, "no check for"),
        ({"problem": "q", "answer": "x", "question_type": "proof"}, "question_type is proof"),
        ({**SYNTHETIC_CODE, "verification_info": {"language": "rust", "test_cases": []}}, "programs are in 'rust'"),
        (tulu(func_name="verify_letter_frequency", letter="e", N=3), "no rule of r1ray checks"),
        (tulu(func_name="validate_word_constraint", N=30, quantifier="around"), "the quantifier 'around'"),
        ({"question": "q", "choices": ["x", "y"], "answer": -1}, "the reference answer is not given"),
        ({"question": "q", "options": ["x", "y", "z"], "answer": "A, C"}, "several options are right"),
    ],
)
def test_a_row_by_which_nothing_can_be_judged_is_set_aside(row: Row, reason: str) -> None:
    with pytest.raises(UnusableRow, match=reason):
        check(row)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (verl("q", {"colour": "red"}), r"ground_truth is an object \(colour\), which no check"),
        (verl("q", '{"colour": "red"}'), r"ground_truth is an object \(colour\)"),
        (verl("q", {"func_name": "add", "inputs": [[1]], "outputs": []}), "1 inputs and 0 outputs"),
        (
            {"problem": "q", "solution": "def f(x):\n    return x\nassert f(1) == 1"},
            "solution is the source of a program",
        ),
        (verl("q", ["1", "2"]), "ground_truth is a list of 2"),
        (verl("q", True), "ground_truth is true"),
        (verl("q", "def f(x):\n    return x"), "ground_truth is the source of a program"),
        (verl("q", json.dumps({"inputs": ["1"], "outputs": []})), "1 inputs and 0 outputs"),
        (verl("q", json.dumps({"functional": "def check(candidate):\n    assert candidate(1)"})), "nothing says which"),
        ({"prompt": "q", "reward_model": "72"}, "reward_model needs an object with ground_truth"),
        ({"prompt": "q", "reward_model": {"style": "rule"}}, "reward_model needs an object with ground_truth"),
        ({"prompt": "q", "solution": "def f(x):\n    return x"}, "solution is the source of a program"),
        ({"question": "q", "solution": "def f(x):\n    return x", "answer": None}, "solution is the source"),
        ({"prompt": "q", "completion": "c", "label": True}, "label is true"),
        ({"question": "q", "answers": ["x", "y"], "label": 1}, "answers beside label are options"),
        ({"premise": "p", "question": "q", "choice1": "x", "choice2": "y", "label": 1}, "the options are 1, 2"),
        ({"question": "q", "passage": "p", "label": 1}, "label beside passage is a class"),
        ({"question": "q", "options": ["x", "y"], "answer": "w"}, "the answer 'w' is none of the 2 options"),
        ({"question": "q", "options": ["x"], "answer": "A"}, "an option is missing"),
        (
            {"question": "q", "options": {"A": "x", "B": "y"}, "answer": "y", "answer_idx": "A"},
            "different options",
        ),
        ({"context": "c", "question": "q", "answera": "x", "answerb": "y", "label": "1"}, "the options are A, B"),
        (
            {"problem": "q", "tests": json.dumps([{"input": "1", "output": "2", "testtype": "functional"}])},
            "says which",
        ),
        ({"prompt": "q", "check": "not JSON"}, "check is no JSON"),
        ({"prompt": "q", "check": {"type": "math", "answer": {"a": 1}}}, "check needs text or a number"),
        ({"prompt": "q", "check": {"type": "math", "answer": ["1", "2"]}}, "check needs text or a number"),
        ({"prompt": "q", "check": {"type": "countdown", "numbers": ["1"], "target": 1}}, "list of whole numbers"),
        ({"question": "q", "golden_answers": [{"a": 1}]}, "needs a list of answers"),
    ],
)
def test_a_row_that_would_be_misread_is_refused(row: Row, reason: str) -> None:
    with pytest.raises(MalformedRow, match=reason):
        check(row)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"question": "q", "choices": ["x", "y"], "answer": 1}, Choice("B", 2)),
        ({"question": "q", "choices": ["x", "y"], "answer": "y"}, Choice("B", 2)),
        ({"question": "q", "choices": ["AB", "BC"], "answer": "BC", "label": "algebra"}, Choice("B", 2)),
        ({"question": "q", "choices": ["x", "y"], "label": 1}, Choice("B", 2)),
        ({"question": "q", "options": ["A)21", "B)22", "C)23"], "correct": "C", "rationale": "r"}, Choice("C", 3)),
        ({"question": "q", "options": '{"A": "x", "B": "y"}', "answer_idx": "B"}, Choice("B", 2)),
        ({"question": "q", "options": {"A": "x", "B": "y", "E": None}, "answer": "B"}, Choice("B", 2)),
        ({"question": "q", "options": [{"key": "A", "value": "x"}, {"key": "B", "value": "y"}], "answer": "B"},
         Choice("B", 2)),
        ({"question": "q", "options": None, "answer": "7"}, MathAnswer("7")),
        ({"question": "q", "option_a": "x", "option_b": "y", "answer": "b"}, Choice("B", 2)),
        ({"question": "q", "answer": {"value": "Paris", "aliases": ["Paris, France"]}},
         Reading((("Paris",), ("Paris, France",)))),
        ({"context": "c", "question": "q", "answers": {"text": ["x"], "answer_start": [0]}}, Reading((("x",),))),
        (tulu(func_name="validate_word_constraint", N=30, quantifier="at most"),
         Instructions((Rule("length_constraints:number_words", '{"num_words": 31, "relation": "less than"}'),))),
        ({"prompt": "q", "ground_truth": ["7"], "dataset": ["math"]}, MathAnswer("7")),
        ({**TULU_IF, "ground_truth": "[{'instruction_id': ['punctuation:no_comma'], 'kwargs': [None]}]"},
         Instructions((Rule("punctuation:no_comma", "{}"),))),
    ],
)  # fmt: skip
def test_a_row_means_what_its_data_set_says(row: Row, expected: Any) -> None:
    assert check(row) == expected


def test_limits_of_a_contest_are_those_of_its_check() -> None:
    found = check(CODECONTESTS)
    assert isinstance(found, CodeTests)
    assert (found.time_limit_s, found.memory_mib, found.float_tolerance) == (1.5, 244, 1e-6)
