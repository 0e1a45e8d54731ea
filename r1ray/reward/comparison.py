"""Comparison of a program's output or return value with the expected one. Linear time."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any

from r1ray.data.json_text import write

_NUMBER = re.compile(rb"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_WHOLE = re.compile(rb"[+-]?[0-9]+")
_NO_NUMBER = re.compile(rb"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
MAX_DIGITS = 400
"""Digits of a number that is compared with a tolerance; a double has 309 before the point."""


def same_tokens(printed: bytes, expected: bytes, tolerance: float | None = None) -> bool:
    """Return whether outputs are equal token by token, split at white space. With a tolerance, decimal numbers may
    differ by it, relatively or absolutely; a decimal number in place of a whole one only absolutely; whole numbers not
    at all.

    >>> same_tokens(b"1  2", b"1 2\\n"), same_tokens(b"0.3333", b"0.33334"), same_tokens(b"0.3333", b"0.33334", 1e-3)
    (True, False, True)
    >>> same_tokens(b"6.0", b"6", 1e-6), same_tokens(b"1000000001.0", b"1000000000", 1e-6)
    (True, False)
    """
    ours, theirs = printed.split(), expected.split()
    if ours == theirs:
        return True
    if tolerance is None or len(ours) != len(theirs):
        return False
    return all(a == b or _close(a, b, tolerance) for a, b in zip(ours, theirs, strict=True))


def _close(printed: bytes, expected: bytes, tolerance: float) -> bool:
    if max(len(printed), len(expected)) > MAX_DIGITS:
        return False
    if not (_NUMBER.fullmatch(printed) and _NUMBER.fullmatch(expected)):
        return False
    if not _WHOLE.fullmatch(expected):
        return math.isclose(float(printed), float(expected), rel_tol=tolerance, abs_tol=tolerance)
    if _WHOLE.fullmatch(printed):
        return False
    return abs(Decimal(printed.decode()) - Decimal(expected.decode())) <= Decimal(tolerance)


def has_no_number(printed: bytes, expected: bytes) -> bool:
    """Return whether an unexpected ``nan`` or infinity is printed. In comparisons neither is far from anything, so a
    checker of a data set may accept it."""
    wanted = {token.lower() for token in expected.split()}
    return any(_NO_NUMBER.fullmatch(token) and token.lower() not in wanted for token in printed.split())


def same_value(given: Any, expected: Any, tolerance: float | None = None) -> bool:
    """Return whether a value is the expected one; ``True`` is not 1. JSON has one kind of number, no tuples and only
    text as keys, so 3.0 equals 3, a tuple equals a list and the key 1 equals ``"1"``. With a tolerance, numbers may
    differ by it, relatively if a decimal number is expected.

    >>> same_value((1, 2), [1, 2]), same_value(True, 1), same_value({1: 2}, {"1": 2}), same_value(3.0, 3)
    (True, False, True, True)
    """
    if isinstance(expected, list):
        return (
            isinstance(given, list | tuple)
            and len(given) == len(expected)
            and all(same_value(a, b, tolerance) for a, b in zip(given, expected, strict=True))
        )
    if isinstance(expected, dict):
        if not isinstance(given, dict) or len(given) != len(expected):
            return False
        by_text = {_key_text(key): value for key, value in given.items()}
        return by_text.keys() == expected.keys() and all(
            same_value(by_text[key], expected[key], tolerance) for key in expected
        )
    if _is_number(given) and _is_number(expected):
        return bool(given == expected) or (tolerance is not None and _is_near(given, expected, tolerance))
    return type(given) is type(expected) and bool(given == expected)


def _is_near(given: float, expected: float, tolerance: float) -> bool:
    if isinstance(given, int) and (isinstance(expected, int) or abs(given) > 1e300):
        return False
    relative = tolerance if isinstance(expected, float) else 0.0
    if isinstance(expected, int) and abs(expected) > 1e300:
        return False
    return math.isclose(given, expected, rel_tol=relative, abs_tol=tolerance)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _key_text(key: Any) -> str:
    """Return a key as JSON writes it; for a key that JSON does not have, a text that JSON never writes."""
    if isinstance(key, str):
        return key
    try:
        return write(key)
    except TypeError:  # bytes, complex numbers
        return "\0"
