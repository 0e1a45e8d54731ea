"""Layouts of tasks that a program solves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from r1ray.checks import Check
from r1ray.data.checks import MalformedRow, UnusableRow, parse_check
from r1ray.data.layouts.layout import Layout
from r1ray.data.layouts.questions import asked, question_of, with_starter
from r1ray.data.layouts.tests_of_programs import program_check
from r1ray.data.layouts.values import kind_of, label_of, text_of, unpacked, value_of
from r1ray.data.template import Question

STDIO_OR_CALL = "a program that prints each expected output, or whose function returns it"
ASSERTS = "a program whose function holds every assert"


def _leetcode(row: Mapping[str, Any]) -> Check:
    """Return the check of a LeetCode row, whose ``prompt`` has imports and helpers of the tests and whose ``query`` has
    the problem."""
    return program_check(
        [f"{text_of(row, 'prompt')}\n{text_of(row, 'test')}"], column="test", entry=label_of(row, "entry_point")
    )


def _humaneval(row: Mapping[str, Any]) -> Check:
    fields = {"entry": row.get("entry_point"), "tests": [row.get("test")], "starter": text_of(row, "prompt")}
    return parse_check({"type": "code", "kind": "assert", **fields})


def _mbpp_question(row: Mapping[str, Any]) -> Question:
    """Return the task with its tests, as in MBPP's own prompt. Nothing else names the function."""
    question = question_of(value_of(row, "text", "prompt", "question"))
    tests = "\n".join(test for test in _strings(row, "test_list") if test)
    return f"{question}\n\nYour code should pass these tests:\n\n{tests}" if isinstance(question, str) else question


def _mbpp(row: Mapping[str, Any]) -> Check:
    imports = value_of(row, "test_imports") or []
    setup = "\n".join([*imports, text_of(row, "test_setup_code").strip()]).strip()
    tests = [f"{setup}\n{test}" for test in _strings(row, "test_list")]
    return parse_check({"type": "code", "kind": "assert", "tests": tests})


def _strings(row: Mapping[str, Any], column: str) -> list[str]:
    found = unpacked(row.get(column) or [], column=column)
    if not isinstance(found, list) or not all(isinstance(test, str) for test in found):
        raise MalformedRow(f"{column} needs a list of asserts, found {kind_of(found)}")
    return found


def _acecode(row: Mapping[str, Any]) -> Check:
    return program_check(_strings(row, "test_cases"), column="test_cases")


def _apps(row: Mapping[str, Any]) -> Check:
    tests = unpacked(row.get("input_output") or "{}", column="input_output")
    return program_check(tests, column="input_output") if tests else parse_check({"type": "code", "tests": []})


def _livecodebench(row: Mapping[str, Any]) -> Check:
    tests = list(unpacked(row["public_test_cases"], column="public_test_cases"))
    private = row.get("private_test_cases")
    if isinstance(private, str) and private.lstrip().startswith(
        "["
    ):  # other values are compressed pickles, which are never opened
        tests += unpacked(private, column="private_test_cases")
    return program_check(tests, column="public_test_cases", entry=_function_of(row))


def _function_of(row: Mapping[str, Any]) -> str:
    metadata = unpacked(row.get("metadata") or "{}", column="metadata")
    return label_of(metadata, "func_name", "fn_name") if isinstance(metadata, Mapping) else ""


def _codecontests(row: Mapping[str, Any]) -> Check:
    if label_of(row, "input_file") or label_of(row, "output_file"):
        raise UnusableRow("its program reads or writes a file, which the sandbox does not allow")
    columns = ("public_tests", "private_tests", "generated_tests")
    found = [tests for name in columns if isinstance(tests := row.get(name), Mapping)]
    pairs = [(tests.get("input") or [], tests.get("output") or []) for tests in found]
    limit = row.get("time_limit")
    seconds = (limit.get("seconds") or 0) + (limit.get("nanos") or 0) / 1e9 if isinstance(limit, Mapping) else limit
    memory = row.get("memory_limit_bytes")
    return program_check(
        {"inputs": [i for inputs, _ in pairs for i in inputs], "outputs": [o for _, outputs in pairs for o in outputs]},
        column=" or ".join(columns),
        time_limit_s=seconds or None,
        memory_mib=max(1, memory >> 20) if isinstance(memory, int) and memory > 0 else None,
    )


def _deepcoder(row: Mapping[str, Any]) -> Check:
    return program_check(row["tests"], column="tests", entry=_function_of(row))


def _kodcode(row: Mapping[str, Any]) -> Check:
    return program_check([text_of(row, "test", "test_code")], column="test")


def _kodcode_question(row: Mapping[str, Any]) -> Question:
    """Return the task with the declarations of the functions that its tests call."""
    question = question_of(value_of(row, "question"), column="question")
    found = row.get("test_info")
    functions = found if isinstance(found, list) else [found]
    starters = [label_of(each, "function_declaration") for each in functions if isinstance(each, Mapping)]
    missing = [starter for starter in starters if starter and isinstance(question, str) and starter not in question]
    if not missing:
        return question
    return f"{question}\n\nUse {'this signature' if len(missing) == 1 else 'these signatures'}:\n\n" + "\n".join(
        f"```python\n{starter}\n```" for starter in missing
    )


CODE = (
    Layout(
        name="LeetCodeDataset",
        columns=("query|problem_description", "entry_point", "test"),
        question=asked("query", "problem_description"),
        check=_leetcode,
        means=ASSERTS,
    ),
    Layout(
        name="HumanEval",
        columns=("prompt", "entry_point", "test"),
        question=asked("prompt"),
        check=_humaneval,
        means=ASSERTS,
    ),
    Layout(
        name="MBPP",
        columns=("text|prompt|question", "test_list"),
        question=_mbpp_question,
        check=_mbpp,
        means=ASSERTS,
    ),
    Layout(
        name="AceCode",
        columns=("question", "test_cases"),
        question=asked("question"),
        check=_acecode,
        means=ASSERTS,
    ),
    Layout(
        name="APPS, TACO",
        columns=("question", "input_output"),
        question=with_starter(asked("question")),
        check=_apps,
        means=STDIO_OR_CALL,
    ),
    Layout(
        name="LiveCodeBench",
        columns=("question_content", "public_test_cases"),
        question=with_starter(asked("question_content")),
        check=_livecodebench,
        means=f"{STDIO_OR_CALL}; private tests count if they are plain JSON",
        ids=("question_id", "id"),
    ),
    Layout(
        name="CodeContests",
        columns=("description", "public_tests"),
        question=asked("description"),
        check=_codecontests,
        means="a Python program that prints each expected output",
        ids=("name", "id"),
    ),
    Layout(
        name="DeepCoder",
        columns=("problem|question|prompt", "tests"),
        question=with_starter(asked("problem", "question", "prompt")),
        check=_deepcoder,
        means=STDIO_OR_CALL,
        ids=("uid", "id", "problem_id"),
    ),
    Layout(
        name="KodCode",
        columns=("question", "test|test_code", "test_info"),
        question=_kodcode_question,
        check=_kodcode,
        means="a program whose functions pass the test module",
        ids=("question_id", "conversation_id", "id"),
    ),
)
