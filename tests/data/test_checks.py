"""Every form in which data sets write down how a response is checked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1ray.checks import (
    AssertCase,
    CallCase,
    Check,
    Choice,
    CodeTests,
    ExternalCommand,
    FormatOnly,
    Instructions,
    Judged,
    MathAnswer,
    Pairwise,
    Reading,
    Rule,
    StdioCase,
)
from r1ray.data.checks import LANGUAGES, MalformedRow, check_problem, dump_check, load_check, parse_check
from r1ray.data.layouts import recognise
from r1ray.sandbox.languages import LANGUAGES as SANDBOX_LANGUAGES


def code(**fields: Any) -> dict[str, Any]:
    return {"type": "code", "language": "python", **fields}


@pytest.mark.parametrize(
    ("value", "check"),
    [
        ({"type": "math", "answer": " 29 "}, MathAnswer("29")),
        ({"type": "math", "answer": 29}, MathAnswer("29")),
        ({"type": "format"}, FormatOnly()),
        ({"type": "choice", "answer": "b "}, Choice("B", 4)),
        ({"type": "choice", "answer": "J", "num_options": 10}, Choice("J", 10)),
        ({"type": "reading", "answers": ["4", ["Lee", "Park"], [], 7]}, Reading((("4",), ("Lee", "Park"), ("7",)))),
        (
            {"type": "instructions", "rules": [{"id": "a:b", "arguments": {"n": 1, "other": None}}, {"id": "c:d"}]},
            Instructions((Rule("a:b", '{"n": 1}'), Rule("c:d", "{}"))),
        ),
        ({"type": "judged", "reference": "Paris"}, Judged("Paris", "", "agrees")),
        ({"type": "pairwise", "question": "q", "baseline": "b"}, Pairwise("q", "b", "three_way")),
        (
            code(kind="stdio", tests=[{"stdin": "1", "stdout": "2"}, {"input": "3", "output": "4"}, {"stdout": "5"}]),
            CodeTests(language="python", cases=(StdioCase("1", "2"), StdioCase("3", "4"), StdioCase("", "5"))),
        ),
        (
            code(kind="func", entry="f", tests=[{"args": [1, "a"], "expected": None}, [[2], {"x": 1}]]),
            CodeTests(language="python", cases=(CallCase('[1, "a"]', "null"), CallCase("[2]", '{"x": 1}')), entry="f"),
        ),
        (
            code(kind="func", entry="f", tests=[{"input": "[1, 2]\n3", "output": "[2]"}]),
            CodeTests(language="python", cases=(CallCase("[[1, 2], 3]", "[2]"),), entry="f"),
        ),
        (
            code(entry="add", tests="assert add(1, 2) == 3"),
            CodeTests(language="python", cases=(AssertCase("assert add(1, 2) == 3"),), entry="add"),
        ),
        (
            code(language="C++", tests=[{"stdout": "1"}], time_limit_s=2, memory_mib=64.0, float_tolerance=1e-6),
            CodeTests(
                language="cpp", cases=(StdioCase("", "1"),), time_limit_s=2.0, memory_mib=64, float_tolerance=1e-6
            ),
        ),
    ],
)
def test_a_check_is_read(value: dict[str, Any], check: Check) -> None:
    assert parse_check(value) == check
    assert load_check(dump_check(check)) == check


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "check needs an object"),
        ({"type": "poem"}, "check.type is 'poem'"),
        (code(language="cobol", tests=[]), "check.language is 'cobol'"),
        (code(tests=3), "check.tests needs a list"),
        (code(kind="unit", tests=[]), "check.kind is 'unit'"),
        (code(kind="func", tests=[]), "check.entry has to name the function"),
        (code(kind="stdio", tests=[{"stdin": "1"}]), "a test needs stdout"),
        (code(kind="func", entry="f", tests=[{"args": [1]}]), "a test needs expected"),
        (code(kind="stdio", tests=[{"stdin": "\ud800", "stdout": "1"}]), "cannot be written as UTF-8"),
        (code(kind="func", entry="f", tests=[{"args": 1, "expected": 1}]), "a test's args need a list"),
        (code(kind="func", language="java", entry="f", tests=[]), "which only Python programs can have"),
        (code(tests=[{"stdout": "1"}], time_limit_s=0), "check.time_limit_s is 0"),
        ({"type": "choice", "answer": "A", "num_options": 1}, "check.num_options is 1"),
        ({"type": "reading", "answers": "4"}, "check.answers needs a list"),
        ({"type": "instructions", "rules": [{"arguments": {}}]}, "a rule needs an id"),
        ({"type": "command", "argv": ["rm"]}, "check.type is 'command'"),
    ],
)
def test_a_check_of_another_form_is_malformed(value: object, message: str) -> None:
    with pytest.raises(MalformedRow, match=message):
        parse_check(value)


def test_a_check_without_a_reference_is_no_error_but_a_problem() -> None:
    assert check_problem(parse_check({"type": "math"})) == "the reference answer is empty"
    assert check_problem(parse_check(code(tests=[]))) == "there are no tests"
    assert check_problem(FormatOnly()) is None
    assert check_problem(Choice("E", 4)) == "the answer 'E' is none of the 4 options"
    assert check_problem(Reading(())) == "there are no gold answers"
    assert check_problem(Instructions(())) == "there are no instructions to check"
    assert check_problem(Judged("")) == "the reference answer is empty"
    assert check_problem(Pairwise("q", " ")) == "there is no answer of the baseline to compare with"


def test_a_command_is_kept_but_never_read_from_a_row() -> None:
    check = ExternalCommand(argv=("grade", "-v"), task='{"id": 1}', deadline_s=5.0)
    assert load_check(dump_check(check)) == check


def test_the_languages_are_those_of_the_sandbox() -> None:
    assert set(LANGUAGES) == set(SANDBOX_LANGUAGES)


@given(st.lists(st.tuples(st.text(), st.text()), min_size=1, max_size=4))
def test_any_text_survives_the_way_to_the_spool_and_back(pairs: list[tuple[str, str]]) -> None:
    check = CodeTests(language="python", cases=tuple(StdioCase(*pair) for pair in pairs))
    assert load_check(dump_check(check)) == check


@pytest.mark.parametrize(
    ("row", "layout", "check"),
    [
        (
            {"prompt": "def add(a, b):", "entry_point": "add", "test": "def check(c): pass", "task_id": "HumanEval/0"},
            "HumanEval",
            CodeTests(
                language="python",
                cases=(AssertCase("def check(c): pass"),),
                entry="add",
                starter="def add(a, b):",
            ),
        ),
        (
            {"text": "Add.", "test_list": ["assert add(1, 2) == 3"], "test_setup_code": "import math", "task_id": 7},
            "MBPP",
            CodeTests(language="python", cases=(AssertCase("import math\nassert add(1, 2) == 3"),)),
        ),
        (
            {"question": "Add.", "input_output": json.dumps({"inputs": ["1 2"], "outputs": ["3"]}), "solutions": "[]"},
            "APPS",
            CodeTests(language="python", cases=(StdioCase("1 2", "3"),), float_tolerance=1e-6),
        ),
        (
            {
                "question": "Add.",
                "input_output": json.dumps({"fn_name": "add", "inputs": [[1, 2]], "outputs": [3]}),
            },
            "APPS",
            CodeTests(language="python", cases=(CallCase("[1, 2]", "3"),), entry="add", float_tolerance=1e-6),
        ),
        (
            {
                "question_content": "Add.",
                "public_test_cases": json.dumps([{"input": "1\n2", "output": "3", "testtype": "functional"}]),
                "private_test_cases": "eJxrYJmq",
                "metadata": json.dumps({"func_name": "add"}),
            },
            "LiveCodeBench",
            CodeTests(language="python", cases=(CallCase("[1, 2]", "3"),), entry="add", float_tolerance=1e-6),
        ),
        (
            {"prompt": "Add.", "reward_model": {"ground_truth": '{"inputs": ["1"], "outputs": ["2"]}'}},
            "verl",
            CodeTests(language="python", cases=(StdioCase("1", "2"),), float_tolerance=1e-6),
        ),
    ],
)
def test_a_layout_that_users_already_have_is_recognised(row: dict[str, Any], layout: str, check: Check) -> None:
    found = recognise(frozenset(row))
    assert found is not None and found.name.startswith(layout)
    assert found.read(row, 0).check == check
