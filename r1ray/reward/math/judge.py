"""math-verify's verdict, with a second check. Runs only in a killable process, since nothing here is sure to end."""

from __future__ import annotations

import logging
from typing import Any

from math_verify import LatexExtractionConfig, parse, verify
from sympy import Basic, N

EQUAL, DIFFERENT, BAD_REFERENCE = "equal", "different", "bad_reference"
RELATIVE_ERROR = 1e-9
_LATEX = [LatexExtractionConfig(boxed_match_priority=0)]

logging.getLogger("math_verify").setLevel(logging.CRITICAL)


def _read(text: str) -> list[Any]:
    # math-verify's own time limits are signals, which do not interrupt all code. The owner kills the process instead.
    return list(parse(rf"\boxed{{{text}}}", _LATEX, fallback_mode="no_fallback", parsing_timeout=None))


def judge(reference: str, answer: str) -> str:
    """Return one of EQUAL, DIFFERENT, BAD_REFERENCE."""
    gold = _read(reference)
    if not gold:
        return BAD_REFERENCE
    target = _read(answer)
    if not target:
        return DIFFERENT
    is_equal = verify(
        gold, target, float_rounding=12, numeric_precision=30, allow_set_relation_comp=True, timeout_seconds=None
    )
    return EQUAL if is_equal and not _numbers_differ(gold[0], target[0]) else DIFFERENT


def _numbers_differ(gold: object, target: object) -> bool:
    """Return whether both are numbers that differ relatively. math-verify rounds absolutely, so that 1.6e-19 equals
    1.7e-19."""
    if not (isinstance(gold, Basic) and isinstance(target, Basic)):
        return False
    try:
        left, right = (complex(N(side, 40)) for side in (gold, target))
        exact_left, exact_right = N(gold, 40), N(target, 40)
    except (TypeError, ValueError, AttributeError):
        return False
    if left == right == 0:
        return bool(exact_left != exact_right)
    return bool(abs(exact_left - exact_right) > RELATIVE_ERROR * max(abs(exact_left), abs(exact_right)))
