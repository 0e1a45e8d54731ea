"""Tests of a program, in all forms of data sets, turned into a check.

A form is recognised by its fields, so the same tests are read in the same way from verl's ``ground_truth``, from the
``tests`` of DeepCoder and from the ``verification_info`` of SYNTHETIC-1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from r1ray.checks import Check
from r1ray.data.checks import MalformedRow, UnusableRow, code_language, parse_check
from r1ray.data.layouts.values import kind_of, unpacked, value_of, without_none

FLOAT_TOLERANCE = 1e-6
"""Tolerance of decimal numbers in outputs. The public graders of APPS, TACO and Eurus (``numpy.allclose``) and of
CodeContests use 1e-5 relative to the number; this one also is an absolute tolerance, so it is smaller."""
_ASSERTS = ("assert_case", "functional", "test_code")
"""Fields of test code: Skywork-OR1 and Reasoning360; code-r1; Skywork-OR1's LeetCode rows."""
_CALLED_CHECK = re.compile(r"\n\s*check\(\s*((?:Solution\(\)\.)?\w+)\s*\)\s*$")
_METHOD = re.compile(r"\bSolution\(\)\.(\w+)\b")


def program_check(tests: Any, *, column: str, language: Any = None, entry: Any = None, **limits: Any) -> Check:
    """Return the check of a program by its tests.

    Raises:
        MalformedRow: the tests have no known form.
        UnusableRow: the programs are in a language that the sandbox does not run.
    """
    found = unpacked(tests, column=column)
    if language is not None and code_language(language) is None:
        raise UnusableRow(f"its programs are in {language!r:.40}, which the sandbox does not run")
    fields = {"type": "code", "language": language or "python", **without_none(limits)}
    if isinstance(found, Mapping):
        fields |= _of_object(without_none(found), column, entry)
    elif isinstance(found, Sequence) and not isinstance(found, str | bytes):
        fields |= _of_list(found, column, entry)
    else:
        raise MalformedRow(f"{column} needs tests, a list or an object, found {kind_of(found)}")
    if fields["kind"] != "assert":
        fields["float_tolerance"] = FLOAT_TOLERANCE
    return parse_check(fields)


def are_tests(value: Any) -> bool:
    """Return whether a list or an object contains tests of a program in a known form."""
    if isinstance(value, Mapping):
        fields = without_none(value).keys()
        return any(
            needed <= fields for needed in ({"inputs", "outputs"}, {"input", "output"}, *({name} for name in _ASSERTS))
        )
    if not isinstance(value, list) or not value:
        return False
    return all(isinstance(test, Mapping) and are_tests(test) for test in value) or all(map(_is_assert, value))


def _is_assert(test: Any) -> bool:
    return isinstance(test, str) and "assert" in test


def _of_object(found: Mapping[str, Any], column: str, entry: Any) -> dict[str, Any]:
    entry = value_of(found, "fn_name", "entry_point", "func_name") or entry
    if "test_code" in found:
        return _asserts([f"{found.get('import_prefix', '')}\n{found['test_code']}"], entry)
    if "functional" in found:
        return _asserts([found["functional"]], entry)
    if any(cases := _as_list(found.get("assert_case"))):
        return _asserts([case for case in cases if case], entry)
    for inputs, outputs in (("inputs", "outputs"), ("input", "output")):
        if inputs in found and outputs in found:
            return _pairs(_as_list(found[inputs]), _as_list(found[outputs]), column, entry)
    for name in ("tests", "test_cases"):
        if name in found:
            inner = unpacked(found[name], column=column)
            if isinstance(inner, Mapping):
                return _of_object(without_none(inner), column, entry)
            return _of_list(inner, column, entry)
    raise MalformedRow(f"{column} is {kind_of(found)}: its tests need inputs and outputs, or asserts")


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [] if value is None else [value]


def _of_list(found: Sequence[Any], column: str, entry: Any) -> dict[str, Any]:
    if found and all(isinstance(test, str) for test in found):
        return _asserts(list(found), entry)
    tests = [without_none(test) if isinstance(test, Mapping) else test for test in found]
    if not all(isinstance(test, Mapping) for test in tests):
        raise MalformedRow(f"{column} is a list of {kind_of(tests[0])}: a test is an object, or text of asserts")
    first = tests[0] if tests else {}
    metadata = unpacked(first.get("metadata") or {}, column="metadata")
    entry = value_of(first, "fn_name", "func_name") or value_of(metadata, "func_name") or entry
    if any(cases := [case for test in tests for case in _as_list(test.get("assert_case"))]):
        return _asserts(cases, entry)
    kinds = {str(test.get("testtype") or test.get("type") or "") for test in tests}
    if len(kinds) > 1:
        raise MalformedRow(f"{column} mixes tests of the types {', '.join(sorted(kinds))}")
    if kinds & {"functional", "function_call", "call_based"} and not entry:
        raise MalformedRow(f"{column} calls a function, and nothing says which")
    inputs = [test.get("inputs", test.get("input")) for test in tests]
    outputs = [test.get("outputs", test.get("output")) for test in tests]
    return _pairs(inputs, outputs, column, None if kinds & {"stdin", "stdin_stdout"} else entry)


def _asserts(code: list[Any], entry: Any) -> dict[str, Any]:
    """Return the check of asserts. A trailing ``check(Solution().f)`` names the entry; so does ``Solution().f(...)`` in
    the tests."""
    cases = []
    for case in code:
        if isinstance(case, str) and (called := _CALLED_CHECK.search(case)):
            entry, case = called[1], case[: called.start()]
        if isinstance(case, str) and (method := _METHOD.search(case)):
            entry, case = entry or method[0], _METHOD.sub(r"\1", case)
        if isinstance(case, str) and not entry and "def check(" in case:
            raise MalformedRow("its tests define check(candidate), and nothing says which function that is")
        cases.append(case)
    return {"kind": "assert", "entry": entry, "tests": cases}


def _pairs(inputs: list[Any], outputs: list[Any], column: str, entry: Any) -> dict[str, Any]:
    """Return the cases: input and output of a program, or arguments and result if ``entry`` names a function."""
    if len(inputs) != len(outputs):
        raise MalformedRow(f"{column} has {len(inputs)} inputs and {len(outputs)} outputs")
    if not entry:
        return {"kind": "stdio", "tests": [{"stdin": i, "stdout": o} for i, o in zip(inputs, outputs, strict=True)]}
    tests = [_call(i, o) for i, o in zip(inputs, outputs, strict=True)]
    wrapped = bool(outputs) and all(isinstance(output, list) and len(output) == 1 for output in outputs)
    return {"kind": "func", "entry": entry, "tests": tests, "wrapped_results": wrapped}


def _call(given: Any, wanted: Any) -> Any:
    """Return the case of a call. Its arguments are a list, or text with one JSON value in each line (LiveCodeBench)."""
    if isinstance(given, str):
        return {"input": given, "output": wanted}
    return {"args": given if isinstance(given, list) else [given], "expected": wanted}
