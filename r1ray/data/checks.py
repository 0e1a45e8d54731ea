"""The ``check`` of a prompt, converted from a data set's object to one of :data:`r1ray.types.Check`, to JSON and back.

{"type": "math", "answer": "29"}
{"type": "code", "language": "python", "kind": "stdio", "tests": [{"stdin": "1 2", "stdout": "3"}]}
{"type": "code", "language": "python", "kind": "func", "entry": "add", "tests": [{"args": [1, 2], "expected": 3}]}
{"type": "code", "language": "python", "kind": "assert", "entry": "add", "tests": ["assert add(1, 2) == 3"]}
{"type": "format"}
{"type": "choice", "answer": "B", "num_options": 4}
{"type": "reading", "answers": [["1861"], ["Brady", "Moss"]]}
{"type": "countdown", "numbers": [44, 19, 35], "target": 98}
{"type": "instructions", "rules": [{"id": "punctuation:no_comma", "arguments": {}}]}
{"type": "judged", "reference": "Paris", "question": "What is the capital of France?", "rubric": "agrees"}
{"type": "pairwise", "question": "Write a haiku.", "baseline": "An old pond ...", "rubric": "three_way"}
{"type": "reasoning_gym", "name": "countdown", "options": "...", "entry": "...", "threshold": 1}
{"type": "my_checks:contains", "word": "Paris"}

The last is a function or a class of the user's own, by its path. :mod:`r1ray.reward.own_check` says which paths a row
cannot name. A row cannot ask for an external command.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeVar

from r1ray.checks import (
    AssertCase,
    CallCase,
    Check,
    Choice,
    CodeCase,
    CodeTests,
    Countdown,
    ExternalCommand,
    FormatOnly,
    Instructions,
    Judged,
    MathAnswer,
    OwnCheck,
    Pairwise,
    Reading,
    ReasoningTask,
    Rule,
    StdioCase,
)
from r1ray.data.json_text import parse, write

T = TypeVar("T")
LANGUAGES = ("python", "cpp", "javascript", "typescript", "java", "bash", "php", "csharp")
KINDS = ("stdio", "func", "assert")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
CHECK_TYPES: dict[type[Check], str] = {
    MathAnswer: "math",
    CodeTests: "code",
    FormatOnly: "format",
    Choice: "choice",
    Reading: "reading",
    Countdown: "countdown",
    Instructions: "instructions",
    Judged: "judged",
    Pairwise: "pairwise",
    ReasoningTask: "reasoning_gym",
    ExternalCommand: "command",
    OwnCheck: "own",
}
OWN_TYPE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
"""The path of a function or class of the user's own."""
_OTHER_NAMES = {"c++": "cpp", "js": "javascript", "node": "javascript", "ts": "typescript", "python3": "python",
                "py": "python", "c#": "csharp", "cs": "csharp", "sh": "bash", "shell": "bash"}  # fmt: skip


class MalformedRow(ValueError):
    """The row does not fit its file's layout."""


class UnusableRow(ValueError):
    """The row fits its layout, but nothing can be learned from it. It is left out and counted."""


def read_row(read: Callable[[Mapping[str, Any], int], T], row: Mapping[str, Any], number: int) -> T:
    """Call a layout's reader, which may meet any value in any column. Raises MalformedRow and UnusableRow."""
    try:
        return read(row, number)
    except (MalformedRow, UnusableRow):
        raise
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise MalformedRow(f"a value is not of the layout: {type(error).__name__}: {error!s:.80}") from error


def parse_check(value: object) -> Check:
    """Return the check of a row. A missing or empty reference is not malformed: :func:`check_problem` reports it.

    Raises:
        MalformedRow: there is no such type, or the object has another form.
    """
    if not isinstance(value, Mapping) or "type" not in value:
        raise MalformedRow(f'check needs an object such as {{"type": "math", "answer": "29"}}, found {value!r:.60}')
    if isinstance(value["type"], str) and value["type"] in _PARSERS:
        return _PARSERS[value["type"]](value)
    if isinstance(value["type"], str) and OWN_TYPE.fullmatch(value["type"]):
        return _own(value)
    raise MalformedRow(
        f"check.type is {value['type']!r:.40}: needs one of {', '.join(_PARSERS)}, or package.module:function"
    )


def check_problem(check: Check) -> str | None:
    """Return the reason why nothing can be judged by a check; None if it can."""
    if isinstance(check, MathAnswer) and not check.answer:
        return "the reference answer is empty"
    if isinstance(check, CodeTests) and not check.cases:
        return "there are no tests"
    if isinstance(check, CodeTests) and check.checker is None:
        outputs = [case.stdout for case in check.cases if isinstance(case, StdioCase)]
        if outputs and not any(output.strip() for output in outputs):
            return "every expected output is empty"
    if isinstance(check, Choice) and (not check.letter or check.letter not in LETTERS[: check.num_options]):
        return f"the answer {check.letter!r:.40} is none of the {check.num_options} options"
    if isinstance(check, Reading) and not any(span.strip() for spans in check.answers for span in spans):
        return "there are no gold answers"
    if isinstance(check, Countdown) and not check.numbers:
        return "there are no numbers to use"
    if isinstance(check, Instructions) and not check.rules:
        return "there are no instructions to check"
    if isinstance(check, Judged) and not check.reference:
        return "the reference answer is empty"
    if isinstance(check, Pairwise) and not check.baseline.strip():
        return "there is no answer of the baseline to compare with"
    return None


def dump_check(check: Check) -> str:
    """Return the JSON of a check, as :func:`load_check` reads it."""
    name = CHECK_TYPES[type(check)]
    return json.dumps([name, dataclasses.asdict(check)], ensure_ascii=False)


def load_check(text: str) -> Check:
    """Return the check that :func:`dump_check` wrote."""
    name, values = json.loads(text)
    if name == "code":
        case = {"stdin": StdioCase, "arguments": CallCase, "code": AssertCase}
        values["cases"] = tuple(case[next(iter(fields))](**fields) for fields in values["cases"])
    elif name == "reading":
        values["answers"] = tuple(tuple(spans) for spans in values["answers"])
    elif name == "countdown":
        values["numbers"] = tuple(values["numbers"])
    elif name == "instructions":
        values["rules"] = tuple(Rule(**rule) for rule in values["rules"])
    elif name == "command":
        values["argv"] = tuple(values["argv"])
    kind: type[Check] = next(kind for kind, known in CHECK_TYPES.items() if known == name)
    return kind(**values)


def code_language(name: object) -> str | None:
    """Return the language of programs that a name means; None if it is none of :data:`LANGUAGES`."""
    language = str(name).lower()
    language = _OTHER_NAMES.get(language, language)
    return language if language in LANGUAGES else None


def _code(value: Mapping[str, Any]) -> CodeTests:
    language = code_language(value.get("language") or "python")
    if language is None:
        raise MalformedRow(f"check.language is {value['language']!r:.40}: needs one of {', '.join(LANGUAGES)}")
    tests = value.get("tests")
    if isinstance(tests, str | Mapping):
        tests = [tests]
    if not isinstance(tests, Sequence):
        raise MalformedRow(f"check.tests needs a list, found {tests!r:.60}")
    kind = value.get("kind") or _kind_of(tests)
    if kind not in KINDS:
        raise MalformedRow(f"check.kind is {kind!r:.40}: needs one of {', '.join(KINDS)}")
    if kind == "func" and language != "python":
        raise MalformedRow(f"check.kind is {kind}, which only Python programs can have; in {language} use stdio")
    entry = value.get("entry") or value.get("fn_name") or value.get("entry_point")
    if kind == "func" and not entry:
        raise MalformedRow("check.kind is func, so check.entry has to name the function that is called")
    case = {"stdio": _stdio_case, "func": _call_case, "assert": _assert_case}[kind]
    return CodeTests(
        language=language,
        cases=tuple(case(test) for test in tests),
        entry=None if entry is None else str(entry),
        time_limit_s=_positive(value, "time_limit_s"),
        memory_mib=None if (memory := _positive(value, "memory_mib")) is None else int(memory),
        float_tolerance=_positive(value, "float_tolerance"),
        checker=None if value.get("checker") is None else str(value["checker"]),
        wrapped_results=value.get("wrapped_results") is True,
        starter=_text(value.get("starter") or ""),
    )


def _positive(value: Mapping[str, Any], key: str) -> float | None:
    found = value.get(key)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 < found < math.inf:
        raise MalformedRow(f"check.{key} is {found!r:.40}: needs a finite number above 0")
    return float(found)


def _kind_of(tests: Sequence[Any]) -> str:
    first = tests[0] if tests else None
    if isinstance(first, str):
        return "assert"
    is_call = isinstance(first, Mapping) and first.get("args") is not None and "expected" in first
    return "func" if is_call else "stdio"


def _field(test: Any, names: tuple[str, ...]) -> Any:
    if isinstance(test, Mapping):
        for name in names:
            if test.get(name) is not None:
                return test[name]
    elif isinstance(test, Sequence) and not isinstance(test, str) and len(test) == 2:
        return test[0 if names[0] in ("stdin", "args") else 1]
    raise MalformedRow(f"a test needs {names[0]}, found {test!r:.80}")


def _stdio_case(test: Any) -> CodeCase:
    stdin = _text(_field(test, ("stdin", "input"))) if not _lacks(test, ("stdin", "input")) else ""
    return StdioCase(stdin, _text(_field(test, ("stdout", "output", "expected"))))


def _lacks(test: Any, names: tuple[str, ...]) -> bool:
    return isinstance(test, Mapping) and all(test.get(name) is None for name in names)


def _text(value: Any) -> str:
    # Some texts in APPS are lists of lines.
    text = "\n".join(map(_line, value)) + "\n" if isinstance(value, list) else _line(value)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise MalformedRow(f"a test's text cannot be written as UTF-8: {error}") from error
    return text


def _line(value: Any) -> str:
    return write(value) if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _call_case(test: Any) -> CodeCase:
    if isinstance(test, Mapping) and "input" in test and isinstance(test["input"], str):
        # LiveCodeBench: one JSON value in a line for each argument, and the result as JSON.
        try:
            arguments = [parse(line) for line in test["input"].splitlines() if line.strip()]
            return CallCase(write(arguments), write(parse(test["output"])))
        except (KeyError, TypeError, ValueError) as error:
            raise MalformedRow(f"a test's input and output are not JSON: {error}") from error
    arguments = _field(test, ("args", "arguments", "call", "input", "inputs"))
    if not isinstance(arguments, list):
        raise MalformedRow(f"a test's args need a list, found {arguments!r:.60}")
    missing = object()
    expected: Any = missing
    if isinstance(test, Mapping):
        for name in ("expected", "output", "result"):
            if name in test:  # None is a result
                expected = test[name]
                break
    else:
        expected = test[1]
    if expected is missing:
        raise MalformedRow(f"a test needs expected, found {test!r:.80}")
    return CallCase(write(arguments), write(expected))


def _assert_case(test: Any) -> CodeCase:
    code = test.get("code") if isinstance(test, Mapping) else test
    if not isinstance(code, str) or not code.strip():
        raise MalformedRow(f"a test needs a string of asserts, found {test!r:.80}")
    return AssertCase(code)


# ---------------------------------------------------------------------- the other types


def _math(value: Mapping[str, Any]) -> Check:
    return MathAnswer(_stripped(value.get("answer")))


def _choice(value: Mapping[str, Any]) -> Check:
    num_options = value.get("num_options", 4)
    if isinstance(num_options, bool) or not isinstance(num_options, int) or not 2 <= num_options <= len(LETTERS):
        raise MalformedRow(f"check.num_options is {num_options!r:.40}: needs a whole number from 2 to {len(LETTERS)}")
    return Choice(_stripped(value.get("answer")).upper(), num_options)


def _reading(value: Mapping[str, Any]) -> Check:
    """Read a check of reading comprehension. Each answer is a list of spans, or a single span."""
    answers = value.get("answers") or ()
    if isinstance(answers, str) or not isinstance(answers, Sequence):
        raise MalformedRow(f"check.answers needs a list, found {answers!r:.60}")
    spans = [[answer] if isinstance(answer, str | int | float) else list(answer or ()) for answer in answers]
    return Reading(tuple(tuple(map(_stripped, answer)) for answer in spans if any(map(_stripped, answer))))


def _countdown(value: Mapping[str, Any]) -> Check:
    numbers: Any = value.get("numbers") or ()
    target: Any = value.get("target")
    given = [*numbers, target] if isinstance(numbers, Sequence) and not isinstance(numbers, str) else [None]
    if not all(isinstance(number, int) and not isinstance(number, bool) for number in given):
        raise MalformedRow(
            f"check needs a list of whole numbers and a target, found {numbers!r:.60} and {target!r:.40}"
        )
    return Countdown(tuple(numbers), target)


def _instructions(value: Mapping[str, Any]) -> Check:
    rules = value.get("rules") or ()
    if isinstance(rules, str) or not isinstance(rules, Sequence):
        raise MalformedRow(f"check.rules needs a list, found {rules!r:.60}")
    return Instructions(tuple(map(_rule, rules)))


def _rule(rule: Any) -> Rule:
    """Read a rule. Arguments that are None count as not given: Parquet has a column for every argument of any rule."""
    arguments = rule.get("arguments") or {} if isinstance(rule, Mapping) else None
    if not isinstance(rule, Mapping) or not isinstance(rule.get("id"), str) or not isinstance(arguments, Mapping):
        raise MalformedRow(f"a rule needs an id and an object of arguments, found {rule!r:.80}")
    given = {str(name): argument for name, argument in arguments.items() if argument is not None}
    return Rule(rule["id"], json.dumps(given, ensure_ascii=False))


def _judged(value: Mapping[str, Any]) -> Check:
    return Judged(_stripped(value.get("reference")), _stripped(value.get("question")), value.get("rubric") or "agrees")


def _pairwise(value: Mapping[str, Any]) -> Check:
    question, baseline = (_stripped(value.get(key)) for key in ("question", "baseline"))
    return Pairwise(question, baseline, value.get("rubric") or "three_way")


def _own(value: Mapping[str, Any]) -> Check:
    """Read a check of the user's own. Values that are None count as not given, as in rules."""
    given = {str(name): each for name, each in value.items() if name != "type" and each is not None}
    try:
        return OwnCheck(value["type"], json.dumps(given, ensure_ascii=False))
    except TypeError as error:
        raise MalformedRow(f"check of the type {value['type']:.40} is no JSON: {error}") from error


def _reasoning_task(value: Mapping[str, Any]) -> Check:
    """Read a task as :mod:`r1ray.stages.reasoning_gym` writes it."""
    name, options, entry = (value.get(key) for key in ("name", "options", "entry"))
    if not (isinstance(name, str) and isinstance(options, str) and isinstance(entry, str)):
        raise MalformedRow("check needs the texts name, options and entry of a task of reasoning-gym's")
    try:
        is_entry = isinstance(parse(options), Mapping) and isinstance(parse(entry), Mapping)
    except ValueError as error:
        raise MalformedRow(f"check.options and check.entry are no JSON: {error}") from error
    threshold = value.get("threshold", 1.0)
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
        raise MalformedRow(f"check.threshold is {threshold!r:.40}: needs a number from 0 to 1")
    if not is_entry:
        raise MalformedRow("check.options and check.entry need JSON objects")
    return ReasoningTask(name=name, options=options, entry=entry, threshold=float(threshold))


def _stripped(value: Any) -> str:
    """Return a text or a number as stripped text. Raises MalformedRow for any other value, which no answer could be
    compared with."""
    if is_absent(value):
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise MalformedRow(f"check needs text or a number where an answer stands, found {value!r:.60}")
    return str(value).strip()


def is_absent(value: Any) -> bool:
    """Return whether a column has no value: None, or the NaN that a missing number becomes in a data frame."""
    return value is None or (isinstance(value, float) and math.isnan(value))


_PARSERS: dict[str, Callable[[Mapping[str, Any]], Check]] = {
    "math": _math,
    "code": _code,
    "format": lambda value: FormatOnly(),
    "choice": _choice,
    "reading": _reading,
    "countdown": _countdown,
    "instructions": _instructions,
    "judged": _judged,
    "pairwise": _pairwise,
    "reasoning_gym": _reasoning_task,
}
