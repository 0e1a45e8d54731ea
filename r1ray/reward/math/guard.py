r"""Guard of computer algebra: texts must be short and shallow, without towers of powers, big factorials, sums or
integrals.

sympy evaluates while it parses, so ``9^{9^{9^9}}`` is a denial of service in ten characters. A refused text is compared
as text only. Linear time.
"""

from __future__ import annotations

import re

MAX_CHARS = 600
MAX_DEPTH = 24
MAX_EXPONENT = 5000
MAX_FACTORIAL = 500

_HEAVY = re.compile(r"\\(?:sum|prod|coprod|i{0,3}int|oint|lim|limsup|liminf|sup|inf)(?![a-z])|[∑∏∫]|\.\.\.|\\ldots")
_DIGITS = re.compile(r"[0-9]{101}")
_EXPONENT = re.compile(r"(?:\^|\*\*)\s*\{?\s*[-+]?\s*([0-9]+)")
_FACTORIAL = re.compile(r"([0-9]+|[)}\]])\s*!")
_BINOMIAL = re.compile(r"\\binom\s*\{?\s*([0-9]+)")
_SCIENTIFIC = re.compile(r"[0-9][eE][+-]?[0-9]{4,}")
_NAMES = re.compile(r"__|lambda|import|eval|exec")


def is_safe(text: str) -> bool:
    """Return whether the text may be passed to sympy.

    >>> is_safe(r"x^2 + \\frac{1}{2}"), is_safe("9^{9^{9^9}}"), is_safe("99999999!")
    (True, False, False)
    """
    if len(text) > MAX_CHARS or _HEAVY.search(text) or _DIGITS.search(text) or _NAMES.search(text):
        return False
    if any(int(found) > MAX_EXPONENT for found in _EXPONENT.findall(text)) or _SCIENTIFIC.search(text):
        return False
    for operand in _FACTORIAL.findall(text):
        if not operand.isdigit() or int(operand) > MAX_FACTORIAL:
            return False
    if any(int(top) > MAX_EXPONENT for top in _BINOMIAL.findall(text)):
        return False
    return _depth(text) <= MAX_DEPTH and _tower(text) <= 2


def _depth(text: str) -> int:
    depth = deepest = 0
    for sign in text:
        if sign in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif sign in ")]}":
            depth -= 1
    return deepest


def _tower(text: str) -> int:
    """Return the largest number of stacked powers."""
    outside: list[int] = []  # the level on which each open bracket stands
    base = last = highest = pending = 0
    for sign in text:
        if sign == "^":
            pending = last + 1
            highest = max(highest, pending)
        elif sign in "([{":
            outside.append(base)
            base = last = pending or base
            pending = 0
        elif sign in ")]}":
            last = base
            base = outside.pop() if outside else 0
        elif not sign.isspace():
            last = pending or (last if sign.isalnum() and last > base else base)
            pending = 0
    return highest
