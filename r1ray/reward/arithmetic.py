"""Exact evaluation of a written calculation: numbers, ``+ - * / ^`` and parentheses."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

MAX_BASE, MAX_EXPONENT = 10**6, 64
"""Limits of powers; larger ones are not computed."""


class _Unreadable(Exception):
    pass


def evaluate(tokens: Sequence[str]) -> Fraction | None:
    """Return the value of an expression; None if the tokens are no expression. Nesting uses stack, so the caller has to
    bound the number of tokens.

    >>> evaluate(["8", "*", "(", "1", "+", "1", ")"])
    Fraction(16, 1)
    """
    rest = list(reversed(tokens))
    try:
        value = _sum(rest)
    except (_Unreadable, ZeroDivisionError):
        return None
    return None if rest else value


def _sum(rest: list[str]) -> Fraction:
    value = _product(rest)
    while rest and rest[-1] in "+-":
        sign = 1 if rest.pop() == "+" else -1
        value += sign * _product(rest)
    return value


def _product(rest: list[str]) -> Fraction:
    value = _power(rest)
    while rest and rest[-1] in "*/":
        value = value * _power(rest) if rest.pop() == "*" else value / _power(rest)
    return value


def _power(rest: list[str]) -> Fraction:
    if not rest:
        raise _Unreadable
    token = rest.pop()
    if token in "+-":
        return _power(rest) * (1 if token == "+" else -1)
    if token == "(":
        value = _sum(rest)
        if not rest or rest.pop() != ")":
            raise _Unreadable
    elif token[-1].isdigit():
        value = Fraction(token.replace(",", ""))
    else:
        raise _Unreadable
    if not rest or rest[-1] != "^":
        return value
    rest.pop()
    exponent = _power(rest)
    if max(abs(value.numerator), value.denominator) > MAX_BASE or exponent not in range(MAX_EXPONENT + 1):
        raise _Unreadable
    return value ** int(exponent)
