"""Calculator tool: exact, and nothing in its input is executed."""

from __future__ import annotations

import re
from fractions import Fraction

from r1ray.errors import ToolFailed
from r1ray.reward.arithmetic import MAX_BASE, MAX_EXPONENT, evaluate

MAX_CHARS = 400
MAX_BRACKETS = 50
"""Limit on brackets: each takes three frames of the stack, and each sign in a row takes one."""
MAX_DIGITS = 1000
"""Longest result that is written out; Python itself refuses more than 4,300 digits."""
_SIGNS = str.maketrans({"\u00d7": "*", "\u00b7": "*", "\u00f7": "/", "\u2212": "-", "\u2013": "-", "[": "(", "]": ")"})
_TOKEN = re.compile(r"\s*(?:(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)|(\*\*|[-+*/^()]))", re.ASCII)


def calculator(expression: str) -> str:
    """Compute an expression of numbers, + - * / ^ and parentheses, exactly.

    Args:
        expression: for example (3 + 4.5) * 2^10
    """
    value = evaluate_text(expression)
    text = _written(value)
    if text is None:
        raise ToolFailed(f"the result has more than {MAX_DIGITS} digits")
    return text


def evaluate_text(expression: str) -> Fraction:
    """Return the value of an expression. Raises ToolFailed."""
    if len(expression) > MAX_CHARS:
        raise ToolFailed(f"the expression is longer than {MAX_CHARS} characters")
    tokens = _tokens(expression.translate(_SIGNS))
    if tokens.count("(") > MAX_BRACKETS:
        raise ToolFailed(f"the expression has more than {MAX_BRACKETS} brackets")
    value = evaluate(tokens)
    if value is None:
        raise ToolFailed(
            f"{expression!r} cannot be computed: needs numbers, + - * / ^ and parentheses, no division by zero, and "
            f"powers of at most {MAX_BASE} with whole exponents from 0 to {MAX_EXPONENT}"
        )
    return value


def _tokens(text: str) -> list[str]:
    """Return the tokens of an expression. Raises ToolFailed for any other text."""
    tokens, at, end = [], 0, len(text.rstrip())
    while at < end:
        found = _TOKEN.match(text, at)
        if found is None:
            raise ToolFailed(f"{text[at : at + 20].strip()!r} is no number, and none of + - * / ^ ( )")
        tokens.append("^" if found[0].strip() == "**" else found[0].strip())
        at = found.end()
    return tokens


def _written(value: Fraction) -> str | None:
    """Return a number in decimals: exactly if 15 places are enough, otherwise to 15 digits. None if it is too long."""
    if abs(value.numerator) >= 10**MAX_DIGITS:
        return None
    if value.denominator == 1:
        return str(value.numerator)
    scaled = value * 10**15
    if scaled.denominator == 1:
        sign, digits = "-" if scaled < 0 else "", str(abs(scaled.numerator)).rjust(16, "0")
        return f"{sign}{digits[:-15]}.{digits[-15:]}".rstrip("0")
    try:
        return f"{float(value):.15g}"
    except OverflowError:  # a fraction beyond 10^308 without short decimals
        return str(round(value))
