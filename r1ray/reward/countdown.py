"""Countdown: an expression of given numbers with a target value, by the rules of TinyZero's checker.

No part of the answer is executed: its expression is parsed and computed in fractions.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from fractions import Fraction

from r1ray.checks import Countdown
from r1ray.reward.extract import final_answer
from r1ray.types import Score

MAX_EXPRESSION = 400
_SIGNS = (
    (re.compile(r"\\(?:times|cdot)\b|[\u00d7\u00b7]"), "*"),
    (re.compile(r"\\div\b|\u00f7"), "/"),
    (re.compile(r"[\u2212\u2013]"), "-"),
    (re.compile(r"\\(?:left|right)\b|\\[()\[\],;! ]|\$"), ""),
    (re.compile(r"\\d?frac\{([^{}]*)\}\{([^{}]*)\}"), r"((\1)/(\2))"),
    (re.compile(r"\["), "("),
    (re.compile(r"\]"), ")"),
)
_OPERATORS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def countdown_score(check: Countdown, text: str) -> Score:
    """Return a score of 1 if the answer uses each number exactly once and nothing else, and equals the target."""
    answer = final_answer(text)
    if answer is None:
        return Score(0.0, "no_answer", None, "no answer after the reasoning")
    try:
        value, used = value_of(answer)
    except (ArithmeticError, RecursionError, SyntaxError, ValueError) as error:
        return Score(0.0, "wrong", answer, f"no expression: {error!s:.100}")
    if sorted(used) != sorted(check.numbers):
        return Score(0.0, "wrong", answer, f"uses {', '.join(map(str, used))}")
    return Score(float(value == check.target), "correct" if value == check.target else "wrong", answer, f"is {value}")


def value_of(expression: str) -> tuple[Fraction, list[int]]:
    r"""Return the value of an expression and the numbers in it. Text after ``=`` is ignored.

    Raises:
        ArithmeticError, SyntaxError, ValueError: it is no expression of numbers, ``+ - * /`` and brackets.

    >>> value_of(r"(44 + 19) \times 2 = 126")
    (Fraction(126, 1), [44, 19, 2])
    """
    if len(expression) > MAX_EXPRESSION:
        raise ValueError(f"longer than {MAX_EXPRESSION} characters")
    if "_" in expression:  # Python reads 3_5 as 35
        raise ValueError("only numbers, + - * / and brackets count")
    plain = expression.partition("=")[0]
    for sign, replacement in _SIGNS:
        plain = sign.sub(replacement, plain)
    used: list[int] = []
    return _computed(ast.parse(plain.strip(), mode="eval").body, used), used


def _computed(node: ast.expr, used: list[int]) -> Fraction:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        used.append(node.value)
        return Fraction(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_computed(node.operand, used)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_computed(node.left, used), _computed(node.right, used))
    raise ValueError("only numbers, + - * / and brackets count")
