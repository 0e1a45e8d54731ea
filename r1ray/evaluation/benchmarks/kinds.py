"""Kinds of check: conversion of a row of a published set to the values of the prompt and the check of the response."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from r1ray.checks import AssertCase, CallCase, Check, Choice, CodeTests, ExternalCommand, Judged, MathAnswer, Pairwise
from r1ray.data.checks import LETTERS, MalformedRow, parse_check
from r1ray.data.json_text import parse
from r1ray.data.layouts import RawPrompt, Row, final_answer, recognise, unknown_columns
from r1ray.data.own_columns import OwnColumns, RowLayout
from r1ray.errors import UserError
from r1ray.evaluation.benchmarks.columns import text_of, value_of
from r1ray.evaluation.benchmarks.definition import Benchmark

PICKLED = "rows have private tests that are pickled, which are never opened: only their public tests count"
LANGUAGE_TITLES = {
    "python": "Python",
    "cpp": "C++",
    "javascript": "JavaScript",
    "typescript": "TypeScript",
    "java": "Java",
    "bash": "Bash",
    "php": "PHP",
    "csharp": "C#",
}


@dataclass(frozen=True, slots=True)
class Made:
    """Prompt values and check made from a row."""

    values: dict[str, str]
    """Values that the prompt may name, beside the fields."""
    check: Check
    remark: str = ""
    """Remark about such rows for the result, which counts them."""
    tests: str = ""
    """Kind of tests (``stdio``, ``func`` or ``assert``), for prompts that depend on it."""
    asked: RawPrompt | None = None
    """The row's own question and language, which replace the benchmark's prompt."""


def _math(row: Row, benchmark: Benchmark, seed: str) -> Made:
    return Made({}, MathAnswer(final_answer(text_of(row, benchmark.fields["answer"]))))


# ---------------------------------------------------------------------- choice


def _choice(row: Row, benchmark: Benchmark, seed: str) -> Made:
    columns = benchmark.fields
    if "correct" in columns:
        options, letter = _shuffled(text_of(row, columns["correct"]), _texts(value_of(row, columns["wrong"])), seed)
    else:
        options = _texts(value_of(row, columns["options"]))
        letter = _letter(value_of(row, columns["answer"]))
    if len(options) < 2 or not all(options):
        raise MalformedRow("an option is missing")
    lines = "\n".join(f"{name}. {option}" for name, option in zip(LETTERS, options, strict=False))
    return Made({"options": lines, "letters": ", ".join(LETTERS[: len(options)])}, Choice(letter, len(options)))


def _shuffled(correct: str, wrong: list[str], seed: str) -> tuple[list[str], str]:
    """Return the options in a random but fixed order of the row, and the letter of the right one."""
    if not correct:
        raise MalformedRow("the reference answer is empty")
    options = [correct, *wrong]
    order = list(range(len(options)))
    random.Random(seed).shuffle(order)
    return [options[i] for i in order], LETTERS[order.index(0)]


def _letter(answer: Any) -> str:
    """Return the letter of an answer: a letter, or the position of the right option counted from 0."""
    text = "" if answer is None else str(answer).strip()
    return LETTERS[int(text)] if text.isdecimal() and int(text) < len(LETTERS) else text.upper()


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):  # CSV copies hold lists as JSON
        try:
            value = parse(value)
        except ValueError as error:
            raise MalformedRow(f"the options are not a list: {value!r:.60}") from error
    if not isinstance(value, Sequence):
        raise MalformedRow(f"the options are not a list: {value!r:.60}")
    return ["" if option is None else str(option).strip() for option in value]


# ---------------------------------------------------------------------- reading, instructions, judges


def _reading(row: Row, benchmark: Benchmark, seed: str) -> Made:
    answers = [_gold(value_of(row, benchmark.fields["answers"]))]
    if "more_answers" in benchmark.fields:
        answers += [_gold(answer) for answer in _records(value_of(row, benchmark.fields["more_answers"]))]
    return Made({}, parse_check({"type": "reading", "answers": list(dict.fromkeys(map(tuple, answers)))}))


def _gold(answer: Any) -> list[str]:
    """Return the spans of a gold answer: a list as it is, or DROP's own object of a number, spans, or a date."""
    if not isinstance(answer, Mapping):
        return [str(span) for span in answer or ()] if not isinstance(answer, str) else [answer]
    if answer.get("number"):
        return [str(answer["number"])]
    if answer.get("spans"):
        return [str(span) for span in answer["spans"]]
    date = answer.get("date") or {}
    return [words] if (words := " ".join(str(date[k]) for k in ("day", "month", "year") if date.get(k))) else []


def _records(value: Any) -> list[Any]:
    """Return a list of objects; Arrow's object of lists is converted to one."""
    if isinstance(value, Mapping):
        columns = [item if isinstance(item, list) else [] for item in value.values()]
        return [dict(zip(value, items, strict=True)) for items in zip(*columns, strict=False)]
    return list(value or ())


def _instructions(row: Row, benchmark: Benchmark, seed: str) -> Made:
    names = value_of(row, benchmark.fields["rules"]) or []
    arguments = value_of(row, benchmark.fields["arguments"]) or []
    if len(names) != len(arguments):
        raise MalformedRow(f"there are {len(names)} instructions and {len(arguments)} sets of arguments")
    rules = [{"id": name, "arguments": given or {}} for name, given in zip(names, arguments, strict=True)]
    return Made({}, parse_check({"type": "instructions", "rules": rules}))


def _judged(row: Row, benchmark: Benchmark, seed: str) -> Made:
    question, reference = (text_of(row, benchmark.fields[key]) for key in ("question", "reference"))
    return Made({}, Judged(reference, question, benchmark.options.get("rubric", "agrees")))


def _pairwise(row: Row, benchmark: Benchmark, seed: str) -> Made:
    question, baseline = (text_of(row, benchmark.fields[key]) for key in ("question", "baseline"))
    return Made({}, Pairwise(question, baseline, benchmark.options.get("rubric", "three_way")))


# ---------------------------------------------------------------------- programs


def _code(row: Row, benchmark: Benchmark, seed: str) -> Made:
    if {"language", "tests", "prompt"} <= row.keys():
        return _multiple(row)
    if "official_tests" in row or "examples" in row:
        return _codeforces(row, benchmark)
    layout = recognise(frozenset(row))
    if layout is None:
        raise MalformedRow("its tests are in an unknown layout")
    check = layout.read(row, 0).check
    if not isinstance(check, CodeTests):
        raise MalformedRow("there are no tests")
    private = row.get("private_test_cases")
    is_pickled = isinstance(private, str) and bool(private.strip()) and not private.lstrip().startswith("[")
    return _program(check, remark=PICKLED if is_pickled else "")


def _program(check: CodeTests, remark: str = "", **values: str) -> Made:
    case = check.cases[0] if check.cases else None
    tests = "func" if isinstance(case, CallCase) else "assert" if isinstance(case, AssertCase) else "stdio"
    values |= {"program_language": LANGUAGE_TITLES[check.language], "fence": check.language}
    return Made(values, check, remark, tests)


def _multiple(row: Row) -> Made:
    """Read MultiPL-E, translations of HumanEval. ``name`` is ``HumanEval_<number>_<function>``."""
    tests, language = str(row["tests"] or ""), str(row["language"])
    if "org.javatuples" in tests or "org.javatuples" in str(row["prompt"]):
        raise MalformedRow("its tests need the Java library javatuples, which the sandbox does not have")
    is_python = language in ("py", "python")
    code = tests.split("def test_check")[0] if is_python else tests
    entry = str(row.get("name") or "").split("_", 2)[-1] if is_python else None
    check = {"type": "code", "kind": "assert", "language": language, "tests": [code] if code.strip() else []}
    made = parse_check(check | {"entry": entry})
    assert isinstance(made, CodeTests)
    return _program(made)


def _codeforces(row: Row, benchmark: Benchmark) -> Made:
    """Read open-r1/codeforces. Its generated checkers are scripts of another form; ``checker`` has r1ray's form."""
    if row.get("generated_checker") and not row.get("checker"):
        raise MalformedRow("many outputs are right, and its checker is a script; give a column checker of r1ray's form")
    examples = list(row.get("examples") or ())
    tests = list(row.get("official_tests") or ()) or examples
    check = {
        "type": "code",
        "kind": "stdio",
        "language": benchmark.options.get("program_language", "cpp"),
        "tests": tests,
        "time_limit_s": row.get("time_limit"),
        "memory_mib": row.get("memory_limit"),
        "checker": row.get("checker"),
    }
    made = parse_check(check)
    assert isinstance(made, CodeTests)
    shown = "\n\n".join(f"Input:\n{test['input']}\nOutput:\n{test['output']}" for test in examples)
    return _program(made, examples=shown)


def _command(row: Row, benchmark: Benchmark, seed: str) -> Made:
    command = benchmark.options.get("command")
    if not command:
        raise UserError(
            f"benchmark={benchmark.name} is judged by a command of yours: needs command=[PROGRAM,ARGUMENT,...]."
        )
    task = {name: value for name, value in row.items() if not name.startswith("_")}
    return Made(
        {},
        ExternalCommand(
            argv=tuple(map(str, command)),
            task=json.dumps(task, ensure_ascii=False, default=str),
            deadline_s=float(benchmark.options.get("deadline_s", 600.0)),
        ),
    )


class OwnRows:
    """Rows of the user's own prompts, read as in a run: the first row of a file decides its layout."""

    def __init__(self, columns: OwnColumns) -> None:
        self._columns = columns
        self._layouts: dict[str, RowLayout] = {}

    def read(self, row: Row) -> Made:
        """Return prompt values and check of a row. Raises MalformedRow and UnusableRow, and UserError for a file
        without a known layout."""
        values, file = {name: value for name, value in row.items() if not name.startswith("_")}, row["_file"]
        if file not in self._layouts:
            named = f"data: {row['_row']}"
            layout = self._columns.layout_of(frozenset(values), key="data", named=named)
            if layout is None:
                raise UserError(f"{named}: {unknown_columns(values)}.")
            self._layouts[file] = layout
        asked = self._layouts[file].read(values, 0)
        return Made({}, asked.check, asked=asked)


MAKERS: dict[str, Callable[[Row, Benchmark, str], Made]] = {
    "math": _math,
    "choice": _choice,
    "reading": _reading,
    "instructions": _instructions,
    "judged": _judged,
    "pairwise": _pairwise,
    "code": _code,
    "command": _command,
}
"""Functions that read rows; the last argument seeds the random choices for a row. They raise MalformedRow if a row has
no usable reference."""
