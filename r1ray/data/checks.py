"""The ``check`` of a prompt: from a data set's object to one of :data:`r1ray.types.Check`, and to JSON and back.

{"type": "math", "answer": "29"}
{"type": "code", "language": "python", "kind": "stdio", "tests": [{"stdin": "1 2", "stdout": "3"}]}
{"type": "code", "language": "python", "kind": "func", "entry": "add", "tests": [{"args": [1, 2], "expected": 3}]}
{"type": "code", "language": "python", "kind": "assert", "entry": "add", "tests": ["assert add(1, 2) == 3"]}
{"type": "format"}
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from r1ray.types import AssertCase, CallCase, Check, CodeCase, CodeTests, FormatOnly, MathAnswer, StdioCase

LANGUAGES = ("python", "cpp", "javascript", "typescript", "java", "bash", "php", "csharp")
KINDS = ("stdio", "func", "assert")
CHECK_TYPES = {MathAnswer: "math", CodeTests: "code", FormatOnly: "format"}
_OTHER_NAMES = {"c++": "cpp", "js": "javascript", "node": "javascript", "ts": "typescript", "python3": "python",
                "py": "python", "c#": "csharp", "cs": "csharp", "sh": "bash", "shell": "bash"}  # fmt: skip


class MalformedRow(ValueError):
    """The row is not of its file's layout."""


def parse_check(value: object) -> Check:
    """The check of a row. A missing or empty reference is not malformed: :func:`check_problem` tells.

    Raises:
        MalformedRow: no such type, or an object of another form.
    """
    if not isinstance(value, Mapping) or "type" not in value:
        raise MalformedRow(f'check needs an object such as {{"type": "math", "answer": "29"}}, found {value!r:.60}')
    if value["type"] == "math":
        answer = value.get("answer")
        return MathAnswer("" if answer is None else str(answer).strip())
    if value["type"] == "code":
        return _code(value)
    if value["type"] == "format":
        return FormatOnly()
    raise MalformedRow(f'check.type is {value["type"]!r:.40}: needs "math", "code" or "format"')


def check_problem(check: Check) -> str | None:
    """Why nothing can be judged by a check; None where it can."""
    if isinstance(check, MathAnswer) and not check.answer:
        return "the reference answer is empty"
    if isinstance(check, CodeTests) and not check.cases:
        return "there are no tests"
    if isinstance(check, CodeTests) and check.checker is None:
        outputs = [case.stdout for case in check.cases if isinstance(case, StdioCase)]
        if outputs and not any(output.strip() for output in outputs):
            return "every expected output is empty"
    return None


def dump_check(check: Check) -> str:
    """JSON that :func:`load_check` reads."""
    name = CHECK_TYPES[type(check)]
    return json.dumps([name, dataclasses.asdict(check)], ensure_ascii=False)


def load_check(text: str) -> Check:
    """The check that :func:`dump_check` wrote."""
    name, values = json.loads(text)
    if name == "code":
        case = {"stdin": StdioCase, "arguments": CallCase, "code": AssertCase}
        values["cases"] = tuple(case[next(iter(fields))](**fields) for fields in values["cases"])
        return CodeTests(**values)
    return MathAnswer(**values) if name == "math" else FormatOnly()


def _code(value: Mapping[str, Any]) -> CodeTests:
    language = str(value.get("language") or "python").lower()
    language = _OTHER_NAMES.get(language, language)
    if language not in LANGUAGES:
        raise MalformedRow(f"check.language is {language!r:.40}: needs one of {', '.join(LANGUAGES)}")
    tests = value.get("tests")
    if isinstance(tests, str | Mapping):
        tests = [tests]
    if not isinstance(tests, Sequence):
        raise MalformedRow(f"check.tests needs a list, found {tests!r:.60}")
    kind = value.get("kind") or _kind_of(tests)
    if kind not in KINDS:
        raise MalformedRow(f"check.kind is {kind!r:.40}: needs one of {', '.join(KINDS)}")
    if kind != "stdio" and language != "python":
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
    )


def _positive(value: Mapping[str, Any], key: str) -> float | None:
    found = value.get(key)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float) or found <= 0:
        raise MalformedRow(f"check.{key} is {found!r:.40}: needs a number above 0")
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
    # APPS has lists of lines in places.
    text = "\n".join(map(str, value)) + "\n" if isinstance(value, list) else str(value)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise MalformedRow(f"a test's text cannot be written as UTF-8: {error}") from error
    return text


def _call_case(test: Any) -> CodeCase:
    if isinstance(test, Mapping) and "input" in test and isinstance(test["input"], str):
        # LiveCodeBench: one JSON value a line for each argument, and the result as JSON.
        try:
            arguments = [json.loads(line) for line in test["input"].splitlines() if line.strip()]
            return CallCase(json.dumps(arguments), json.dumps(json.loads(test["output"])))
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
    return CallCase(json.dumps(arguments), json.dumps(expected))


def _assert_case(test: Any) -> CodeCase:
    code = test.get("code") if isinstance(test, Mapping) else test
    if not isinstance(code, str) or not code.strip():
        raise MalformedRow(f"a test needs a string of Python asserts, found {test!r:.80}")
    return AssertCase(code)
