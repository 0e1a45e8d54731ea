"""Ground truths: a column with the reference of rows of any kind, as in verl, tulu and TRL.

"72" -> math; {"inputs", "outputs"}, asserts, test code -> program; {"target": [...]} -> reading;
{"numbers", "target"} -> countdown; {"func_name", ...} -> instructions; any other object is refused
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from r1ray.checks import Check, MathAnswer
from r1ray.data.checks import MalformedRow, parse_check
from r1ray.data.layouts.references import is_program, reference
from r1ray.data.layouts.rules import are_rules, rules_check
from r1ray.data.layouts.tests_of_programs import are_tests, program_check
from r1ray.data.layouts.values import kind_of, structure_in, without_none

_ASSERTS = re.compile(r"^[ \t]*assert\b", re.MULTILINE)


def check_of(value: Any, *, column: str) -> Check:
    """Return the check of a ground truth. Raises MalformedRow and UnusableRow."""
    found = structure_in(value) if isinstance(value, str) else value
    if are_tests(found):
        return program_check(found, column=column)
    if are_rules(found):
        return rules_check(found, column=column)
    if isinstance(value, str) and _ASSERTS.search(value) and is_program(value):
        return program_check([value], column=column)
    if isinstance(found, Mapping):
        return _of_object(without_none(found), column)
    return MathAnswer(reference(value, column=column))


def _of_object(found: dict[str, Any], column: str) -> Check:
    if found.keys() == {"numbers", "target"}:  # TinyZero
        return parse_check({"type": "countdown", **found})
    if found.keys() == {"target"}:  # Search-R1
        return readable(found["target"], column=f"{column}.target")
    if "test_cases" in found or "tests" in found:
        return program_check(found, column=column)
    raise MalformedRow(f"{column} is {kind_of(found)}, which no check of r1ray is made of: data.check can make one")


def readable(answers: Any, *, column: str) -> Check:
    """Return the check of a factual question by its gold answers. Raises MalformedRow."""
    if isinstance(answers, Mapping):  # TriviaQA, SQuAD
        answers = [*_listed(answers.get("value")), *_listed(answers.get("aliases")), *_listed(answers.get("text"))]
    answers = _listed(answers)
    if not all(isinstance(answer, str | int | float) and not isinstance(answer, bool) for answer in answers):
        raise MalformedRow(f"{column} needs a list of answers, found {kind_of(answers)}")
    return parse_check({"type": "reading", "answers": list(dict.fromkeys(map(str, answers)))})


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [] if value is None else [value]
