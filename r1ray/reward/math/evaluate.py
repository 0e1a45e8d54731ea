r"""Values of expressions and equality of two: with exact fractions if possible, else with sixty digits.

Two expressions with variables are equal if they agree at unusual points, positive and negative, with sixty and then
with a hundred and fifty digits. Nothing here takes long: every operation is refused (:class:`TooBig`) before it would
need large numbers.
"""

from __future__ import annotations

from fractions import Fraction

from r1ray.reward.math.expression import Node
from r1ray.reward.math.operations import (
    OPERATIONS,
    TooBig,
    Undefined,
    Value,
    add,
    approximate,
    checked,
    context,
    divide,
    exponential,
    is_integer,
    is_real,
    logarithm,
    multiply,
    power,
    trigonometric,
)

__all__ = [
    "DIGITS",
    "TooBig",
    "Undefined",
    "Value",
    "close",
    "equal",
    "evaluate",
    "kinds",
    "less",
    "near",
    "proportional",
    "variables",
]

DIGITS = (60, 150)
_POINTS = (  # each variable's name makes them different; two positive, then two of mixed signs
    (Fraction(1), 1), (Fraction(7, 3), 1), (Fraction(-3, 2), -1), (Fraction(-5, 7), -1),
)  # fmt: skip
MAX_TERMS = 400
"""Most terms of all sums in an expression together."""


class _Evaluation:
    """The evaluation of one tree at one point."""

    def __init__(self, *, sign: int, base: int, variables: dict[str, Fraction]) -> None:
        self.sign, self.base, self.variables = sign, base, variables
        self.terms = 0

    def __call__(self, node: Node) -> Value:
        return checked(self.value(node))

    def series(self, node: Node) -> Value:
        """Return the value of a sum or product of few terms, computed term by term."""
        first, last = (self(child) for child in node.children[:2])
        if not (is_integer(first) and is_integer(last)):
            raise Undefined
        self.terms += max(0, int(last - first) + 1)
        if self.terms > MAX_TERMS:
            raise TooBig
        outside, total = self.variables, Fraction(0 if node.kind == "sum" else 1)
        for index in range(int(first), int(last) + 1):
            self.variables = outside | {node.name: Fraction(index)}
            total = checked((add if node.kind == "sum" else multiply)(total, self(node.children[2])))
        self.variables = outside
        return total

    def value(self, node: Node) -> Value:
        kind, mp = node.kind, context.mp
        if kind == "num":
            return node.number
        if kind == "var":
            return self.variables[node.name]
        if kind == "pi":
            return +mp.pi
        if kind == "e":
            return +mp.e
        if kind == "i":
            return mp.mpc(0, 1)
        if kind == "infty":
            return mp.inf
        if kind == "pow" and node.children[0].kind == "e":
            return exponential(self(node.children[1]))
        if kind in ("sum", "prod"):
            return self.series(node)
        children = [self(child) for child in node.children]
        if kind != "neg" and any(not isinstance(child, Fraction) and mp.isinf(child) for child in children):
            raise Undefined  # 1^infinity, 0 times infinity: no rule of arithmetic applies
        if kind == "pow":
            return power(*children)
        if kind == "pm":
            return children[0] * self.sign
        if kind == "mp":
            return children[0] * -self.sign
        if kind == "log":
            return divide(logarithm(children[0]), Fraction(1) if self.base == 0 else logarithm(Fraction(self.base)))
        rule = OPERATIONS.get(kind)
        return rule(*children) if rule else trigonometric(kind, children[0])


def kinds(node: Node) -> frozenset[str]:
    """Return every kind of operation in the tree."""
    found: set[str] = set()
    stack = [node]
    while stack:
        here = stack.pop()
        found.add(here.kind)
        stack.extend(here.children)
    return frozenset(found)


def variables(node: Node) -> frozenset[str]:
    """Return the names of the variables in the tree."""
    found: set[str] = set()
    stack = [node]
    while stack:
        here = stack.pop()
        if here.kind == "var":
            found.add(here.name)
        elif here.kind in ("sum", "prod"):
            first, last, body = map(variables, here.children)
            found |= first | last | (body - {here.name})
        else:
            stack.extend(here.children)
    return frozenset(found)


def _limits(node: Node) -> frozenset[str]:
    """Return the variables in the limits of sums, which stand for whole numbers."""
    found: set[str] = set()
    stack = [node]
    while stack:
        here = stack.pop()
        if here.kind in ("sum", "prod"):
            found.update(*map(variables, here.children[:2]))
        stack.extend(here.children)
    return frozenset(found)


def evaluate(
    node: Node,
    *,
    digits: int = DIGITS[0],
    sign: int = 1,
    base: int = 0,
    point: int = 0,
    whole: frozenset[str] = frozenset(),
) -> Value:
    """Return the value at one of the points. Raises TooBig, Undefined.

    Args:
        sign: the sign that a plus-minus stands for.
        base: the base of a logarithm without one, 0 for the natural one.
        whole: names of variables that stand for whole numbers.
    """
    context.mp.dps = digits
    names = sorted(variables(node))
    try:
        return _Evaluation(sign=sign, base=base, variables=_point(names, point, whole))(node)
    except (ZeroDivisionError, ValueError, ArithmeticError) as error:
        raise Undefined from error
    except RecursionError as error:
        raise TooBig from error


def _point(names: list[str], point: int, whole: frozenset[str]) -> dict[str, Fraction]:
    return {
        name: Fraction(3 + 2 * point + ord(name[0]) % 7) if name in whole else _coordinate(name, point)
        for name in names
    }  # fmt: skip


def _coordinate(name: str, point: int) -> Fraction:
    seed = 7
    for sign in name:
        seed = (seed * 131 + ord(sign)) % 7919
    start, direction = _POINTS[point]
    return start + direction * Fraction(seed * 7919 % 10007, 10007)


def close(left: Value, right: Value, *, digits: int) -> bool:
    """Return whether two values agree to the digits that they were computed with. Fractions have to be identical."""
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        return left == right
    mp = context.mp
    mp.dps = digits
    wide_left, wide_right = approximate(left), approximate(right)
    if mp.isinf(wide_left) or mp.isinf(wide_right):
        return bool(wide_left == wide_right)
    return bool(abs(wide_left - wide_right) <= mp.mpf(10) ** (15 - digits) * max(abs(wide_left), abs(wide_right)))


def less(left: Value, right: Value) -> bool:
    """Return whether one real value is below another."""
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        return left < right
    return bool(approximate(left).real < approximate(right).real)


def _are_noise(few: list[Value], many: list[Value]) -> bool:
    """Return whether the values are zero except for rounding: they shrink with more digits, as sin(pi) does and 1/2004!
    does not."""
    mp = context.mp
    size_few, size_many = (max(abs(approximate(value)) for value in values) for values in (few, many))
    limit = mp.mpf(10) ** (15 - DIGITS[0])
    return bool(size_few < limit and size_many <= size_few * mp.mpf(10) ** -60)


def _real_enough(value: Value) -> bool:
    return is_real(value) or bool(abs(value.imag) <= abs(value) * context.mp.mpf(10) ** -40)


def _equal(left: Node, right: Node, *, sign: int, base: int) -> bool:
    names = variables(left) | variables(right)
    whole = _limits(left) | _limits(right)
    points = 2 if _have_roots_of_variables(left, right) and len(names) > 1 else len(_POINTS)
    agreed, has_i = 0, "i" in kinds(left) | kinds(right)
    for point in range(points if names else 1):
        try:
            few, many = (
                [
                    evaluate(side, digits=digits, sign=sign, base=base, point=point, whole=whole)
                    for side in (left, right)
                ]
                for digits in DIGITS
            )
        except Undefined:
            if not names:
                return False
            continue
        if names and point >= 2 and not has_i and not all(map(_real_enough, few)):
            continue  # outside the real domain of one side: ln(x^2) and 2 ln x are only compared for positive x
        if not (close(*few, digits=DIGITS[0]) and close(*many, digits=DIGITS[1])) and not _are_noise(few, many):
            return False
        agreed += 1
    return agreed >= (2 if names else 1)


def _have_roots_of_variables(left: Node, right: Node) -> bool:
    r"""Return whether both sides have roots of several variables, which are then meant to be positive: ``\sqrt{a/b}``
    is ``\sqrt{ab}/b``."""
    return all("abs" not in kinds(side) and _has_root(side) for side in (left, right))


def _has_root(node: Node) -> bool:
    stack = [node]
    while stack:
        here = stack.pop()
        if here.kind == "root" and variables(here.children[0]):
            return True
        stack.extend(here.children)
    return False


def equal(left: Node, right: Node) -> bool:
    r"""Return whether two expressions are equal everywhere (``\log`` in either base). A value that is too big to
    compute or undefined equals nothing."""
    try:
        bases = (0, 10) if "log" in kinds(left) | kinds(right) else (0,)
        signs = (1, -1) if {"pm", "mp"} & (kinds(left) | kinds(right)) else (1,)
        return any(all(_equal(left, right, sign=sign, base=base) for sign in signs) for base in bases)
    except TooBig:
        return False


def near(left: Node, right: Node) -> bool:
    """Return whether two numbers differ by at most a twentieth; true if one of them cannot be computed."""
    try:
        one, other = (approximate(evaluate(side)) for side in (left, right))
    except (TooBig, Undefined):
        return True
    return bool(abs(one - other) <= max(abs(one), abs(other)) / 20)


def proportional(left: Node, right: Node, *, positive: bool = False) -> bool:
    """Return whether one expression is the other one times a nonzero constant (``positive``: above zero)."""
    ratios: list[Value] = []
    if variables(left) != variables(right) or not variables(left):
        return False
    try:
        for point in range(len(_POINTS)):
            try:
                pair = [evaluate(side, point=point) for side in (left, right)]
                ratios.append(checked(divide(*pair)))
            except Undefined:
                continue
    except TooBig:
        return False
    if len(ratios) < 2 or any(ratio == 0 for ratio in ratios):
        return False
    if positive and not all(_real_enough(ratio) and approximate(ratio).real > 0 for ratio in ratios):
        return False
    return all(close(ratios[0], ratio, digits=DIGITS[0]) for ratio in ratios[1:])
