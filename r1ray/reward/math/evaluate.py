r"""What expressions are worth, and whether two are equal: exact fractions where possible, else sixty digits.

Two expressions with variables are equal when they agree at points nobody would choose, positive and negative, with
sixty and then with a hundred and fifty digits. Nothing here takes long: every operation is refused (:class:`TooBig`)
before it would need large numbers.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from fractions import Fraction
from typing import Any, TypeAlias

from mpmath import MPContext  # type: ignore[import-untyped]

from r1ray.reward.math.expression import Node

Value: TypeAlias = Any
"""A Fraction, or a real or complex number of an mpmath context; mpmath has no types."""

MAX_BITS = 40_000
"""Exact results above this are computed with sixty digits."""
MAX_EXPONENT_BITS = 100_000
"""Numbers above 2 to this power are refused."""
MAX_FACTORIAL = 100_000
MAX_TERMS = 400
"""Of all sums in an expression together."""
DIGITS = (60, 150)
_POINTS = (  # different for every variable by its name; two positive, then two of mixed signs
    (Fraction(1), 1), (Fraction(7, 3), 1), (Fraction(-3, 2), -1), (Fraction(-5, 7), -1),
)  # fmt: skip


class TooBig(Exception):
    """The value is beyond what is computed."""


class Undefined(Exception):
    """There is no value: division by zero, 0/0, infinity minus infinity."""


class _Context(threading.local):
    """mpmath keeps its precision in the context, so every thread has its own."""

    def __init__(self) -> None:
        self.mp = MPContext()


_context = _Context()


def _approximate(value: Value) -> Value:
    mp = _context.mp
    if isinstance(value, Fraction):
        return mp.mpf(value.numerator) / value.denominator
    return value


def _checked(value: Value) -> Value:
    mp = _context.mp
    if isinstance(value, Fraction):
        if value.numerator.bit_length() + value.denominator.bit_length() > MAX_BITS:
            return _checked(_approximate(value))
        return value
    if mp.isnan(value):
        raise Undefined
    if mp.isinf(value):
        return value
    if value != 0 and abs(mp.mag(value)) > MAX_EXPONENT_BITS:
        raise TooBig
    return value


def _is_integer(value: Value) -> bool:
    return isinstance(value, Fraction) and value.denominator == 1


def _add(left: Value, right: Value) -> Value:
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        return left + right
    return _approximate(left) + _approximate(right)


def _multiply(left: Value, right: Value) -> Value:
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        return left * right
    if left == 0 or right == 0:
        if any(not isinstance(side, Fraction) and _context.mp.isinf(side) for side in (left, right)):
            raise Undefined
        return Fraction(0)
    return _approximate(left) * _approximate(right)


def _divide(left: Value, right: Value) -> Value:
    if right == 0:
        raise Undefined
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        return left / right
    return _approximate(left) / _approximate(right)


def _power(base: Value, exponent: Value) -> Value:
    mp = _context.mp
    if exponent == 0:
        if base == 0 or (not isinstance(base, Fraction) and mp.isinf(base)):
            raise Undefined
        return Fraction(1)
    if base == 0:
        if isinstance(exponent, Fraction) and exponent > 0:
            return Fraction(0)
        raise Undefined
    if _is_integer(exponent) and isinstance(base, Fraction):
        bits = base.numerator.bit_length() + base.denominator.bit_length()
        if bits * abs(exponent.numerator) <= MAX_BITS:
            return base**exponent.numerator
    if isinstance(base, Fraction) and abs(base) == 1 and _is_integer(exponent):
        return Fraction(1) if base == 1 or exponent.numerator % 2 == 0 else Fraction(-1)
    if isinstance(base, Fraction) and base == 1:
        return Fraction(1)
    wide_base, wide_exponent = _approximate(base), _approximate(exponent)
    if mp.isinf(wide_base) or mp.isinf(wide_exponent):
        raise Undefined
    if mp.mag(wide_exponent) > 20 or abs(mp.mag(wide_base)) * abs(wide_exponent) > MAX_EXPONENT_BITS:
        raise TooBig
    if isinstance(exponent, Fraction) and exponent.denominator % 2 == 1 and _is_real(base) and base < 0:
        root = mp.power(-wide_base, wide_exponent)  # the real root: (-8)^(1/3) is -2
        return root if exponent.numerator % 2 == 0 else -root
    return mp.power(wide_base, wide_exponent)


def _is_real(value: Value) -> bool:
    return isinstance(value, Fraction) or value.imag == 0


def _root(value: Value, degree: Value) -> Value:
    if degree == 0:
        raise Undefined
    if degree == 2 and isinstance(value, Fraction) and value >= 0:
        top, bottom = _integer_root(value.numerator), _integer_root(value.denominator)
        if top is not None and bottom is not None:
            return Fraction(top, bottom)
    return _power(value, _divide(Fraction(1), degree))


def _integer_root(value: int) -> int | None:
    root = math.isqrt(value)
    return root if root * root == value else None


def _factorial(value: Value) -> Value:
    mp = _context.mp
    if _is_integer(value):
        if value < 0:
            raise Undefined
        if value > MAX_FACTORIAL:
            raise TooBig
        return Fraction(math.factorial(value.numerator)) if value <= 1500 else mp.factorial(value.numerator)
    wide = _approximate(value)
    if mp.isinf(wide):
        raise Undefined
    if abs(wide) > MAX_FACTORIAL:
        raise TooBig
    return mp.gamma(wide + 1)


def _double_factorial(value: Value) -> Value:
    if not _is_integer(value) or value < 0:
        raise Undefined
    if value > 1500:
        raise TooBig
    return Fraction(math.prod(range(int(value), 0, -2)))


def _binomial(top: Value, bottom: Value) -> Value:
    mp = _context.mp
    if _is_integer(top) and _is_integer(bottom) and 0 <= top <= 5000 and bottom >= 0:
        return Fraction(math.comb(top.numerator, bottom.numerator))
    if mp.isinf(_approximate(top)) or mp.isinf(_approximate(bottom)):
        raise Undefined
    if max(abs(_approximate(top)), abs(_approximate(bottom))) > MAX_FACTORIAL:
        raise TooBig
    return mp.binomial(_approximate(top), _approximate(bottom))


def _floor(value: Value, *, up: bool) -> Value:
    if isinstance(value, Fraction):
        return Fraction(math.ceil(value) if up else math.floor(value))
    mp = _context.mp
    if not _is_real(value) or mp.mag(value) > 2000:
        raise TooBig
    nearest = mp.nint(value)
    if abs(value - nearest) < mp.mpf(10) ** (10 - mp.dps):  # a whole number but for rounding, as floor(sqrt(2)^2)
        return Fraction(int(nearest))
    return Fraction(int(mp.ceil(value) if up else mp.floor(value)))


def _trigonometric(name: str, value: Value) -> Value:
    mp = _context.mp
    wide = _approximate(value)
    if mp.isinf(wide):
        raise Undefined
    if wide != 0 and mp.mag(wide) > (14 if name.endswith("h") else 500):
        raise TooBig
    arc = {"arcsin": "asin", "arccos": "acos", "arctan": "atan", "arccot": "acot", "arcsec": "asec", "arccsc": "acsc"}
    arc |= {"arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh"}
    function = getattr(mp, arc.get(name, name), None)
    if function is None:
        raise Undefined
    found = function(wide)
    if name in ("tan", "sec", "cot", "csc") and found != 0 and mp.mag(found) > mp.prec - 40:
        raise Undefined  # a pole that rounding hides
    return found


def _logarithm(value: Value) -> Value:
    if value == 0:
        raise Undefined
    wide = _approximate(value)
    if _context.mp.isinf(wide):
        raise Undefined
    return _context.mp.log(wide)


def _exponential(value: Value) -> Value:
    wide = _approximate(value)
    if _context.mp.isinf(wide):
        raise Undefined
    if abs(wide) > MAX_EXPONENT_BITS / 2:
        raise TooBig
    return _context.mp.exp(wide)


_Rule: TypeAlias = Callable[..., Value]
_OPERATIONS: dict[str, _Rule] = {
    "add": _add,
    "mul": _multiply,
    "div": _divide,
    "root": _root,
    "fact": _factorial,
    "double_fact": lambda value: _double_factorial(value),
    "cis": lambda value: _add(
        _trigonometric("cos", value), _multiply(_context.mp.mpc(0, 1), _trigonometric("sin", value))
    ),
    "binom": _binomial,
    "ln": _logarithm,
    "exp": _exponential,
    "neg": lambda value: -value,
    "abs": abs,
    "floor": lambda value: _floor(value, up=False),
    "ceil": lambda value: _floor(value, up=True),
    "deg": lambda value: _approximate(value) * _context.mp.pi / 180,
    "Re": lambda value: value if isinstance(value, Fraction) else value.real,
    "Im": lambda value: Fraction(0) if isinstance(value, Fraction) else value.imag,
}


class _Evaluation:
    """One tree at one point."""

    def __init__(self, *, sign: int, base: int, variables: dict[str, Fraction]) -> None:
        self.sign, self.base, self.variables = sign, base, variables
        self.terms = 0

    def __call__(self, node: Node) -> Value:
        return _checked(self.value(node))

    def series(self, node: Node) -> Value:
        """A sum or product of few terms, one by one."""
        first, last = (self(child) for child in node.children[:2])
        if not (_is_integer(first) and _is_integer(last)):
            raise Undefined
        self.terms += max(0, int(last - first) + 1)
        if self.terms > MAX_TERMS:
            raise TooBig
        outside, total = self.variables, Fraction(0 if node.kind == "sum" else 1)
        for index in range(int(first), int(last) + 1):
            self.variables = outside | {node.name: Fraction(index)}
            total = _checked((_add if node.kind == "sum" else _multiply)(total, self(node.children[2])))
        self.variables = outside
        return total

    def value(self, node: Node) -> Value:
        kind, mp = node.kind, _context.mp
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
            return _exponential(self(node.children[1]))
        if kind in ("sum", "prod"):
            return self.series(node)
        children = [self(child) for child in node.children]
        if kind != "neg" and any(not isinstance(child, Fraction) and mp.isinf(child) for child in children):
            raise Undefined  # 1^infinity, 0 times infinity: no rule of numbers holds there
        if kind == "pow":
            return _power(*children)
        if kind == "pm":
            return children[0] * self.sign
        if kind == "mp":
            return children[0] * -self.sign
        if kind == "log":
            return _divide(_logarithm(children[0]), Fraction(1) if self.base == 0 else _logarithm(Fraction(self.base)))
        rule = _OPERATIONS.get(kind)
        return rule(*children) if rule else _trigonometric(kind, children[0])


def kinds(node: Node) -> frozenset[str]:
    """Every kind of operation in the tree."""
    found: set[str] = set()
    stack = [node]
    while stack:
        here = stack.pop()
        found.add(here.kind)
        stack.extend(here.children)
    return frozenset(found)


def variables(node: Node) -> frozenset[str]:
    """The names of the variables in the tree."""
    found: set[str] = set()
    stack: list[tuple[Node, frozenset[str]]] = [(node, frozenset())]
    while stack:
        here, bound = stack.pop()
        if here.kind == "var" and here.name not in bound:
            found.add(here.name)
        stack.extend((child, bound) for child in here.children[:2])
        inside = bound | {here.name} if here.kind in ("sum", "prod") else bound
        stack.extend((child, inside) for child in here.children[2:])
    return frozenset(found)


def _limits(node: Node) -> frozenset[str]:
    """The variables in the limits of sums: they stand for whole numbers."""
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
    """The value at one of the points. Raises TooBig, Undefined.

    Args:
        sign: which of the two a plus-minus stands for.
        base: the base of a logarithm without one, 0 for the natural one.
        whole: names of variables that stand for whole numbers.
    """
    _context.mp.dps = digits
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
    """Whether two values agree to the digits they were computed with; fractions only when identical."""
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        return left == right
    mp = _context.mp
    mp.dps = digits
    wide_left, wide_right = _approximate(left), _approximate(right)
    if mp.isinf(wide_left) or mp.isinf(wide_right):
        return bool(wide_left == wide_right)
    return bool(abs(wide_left - wide_right) <= mp.mpf(10) ** (15 - digits) * max(abs(wide_left), abs(wide_right)))


def less(left: Value, right: Value) -> bool:
    """Whether one real value is below another."""
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        return left < right
    return bool(_approximate(left).real < _approximate(right).real)


def _are_noise(few: list[Value], many: list[Value]) -> bool:
    """Whether the values are zero but for rounding: they shrink with the digits, as sin(pi)
    does and 1/2004! does not."""
    mp = _context.mp
    size_few, size_many = (max(abs(_approximate(value)) for value in values) for values in (few, many))
    limit = mp.mpf(10) ** (15 - DIGITS[0])
    return bool(size_few < limit and size_many <= size_few * mp.mpf(10) ** -60)


def _real_enough(value: Value) -> bool:
    return _is_real(value) or bool(abs(value.imag) <= abs(value) * _context.mp.mpf(10) ** -40)


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
            continue  # outside the real domain of one: ln(x^2) and 2 ln x are only compared for positive x
        if not (close(*few, digits=DIGITS[0]) and close(*many, digits=DIGITS[1])) and not _are_noise(few, many):
            return False
        agreed += 1
    return agreed >= (2 if names else 1)


def _have_roots_of_variables(left: Node, right: Node) -> bool:
    r"""Whether both sides have roots of several variables, which are then meant to be positive:
    ``\sqrt{a/b}`` is ``\sqrt{ab}/b``."""
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
    r"""Whether two expressions are equal everywhere (``\log`` in either base). A value beyond computing, or none at
    all, is equal to nothing."""
    try:
        bases = (0, 10) if "log" in kinds(left) | kinds(right) else (0,)
        signs = (1, -1) if {"pm", "mp"} & (kinds(left) | kinds(right)) else (1,)
        return any(all(_equal(left, right, sign=sign, base=base) for sign in signs) for base in bases)
    except TooBig:
        return False


def proportional(left: Node, right: Node, *, positive: bool = False) -> bool:
    """Whether one expression is the other one times a constant that is not zero (``positive``: above zero)."""
    ratios: list[Value] = []
    if variables(left) != variables(right) or not variables(left):
        return False
    try:
        for point in range(len(_POINTS)):
            try:
                pair = [evaluate(side, point=point) for side in (left, right)]
                ratios.append(_checked(_divide(*pair)))
            except Undefined:
                continue
    except TooBig:
        return False
    if len(ratios) < 2 or any(ratio == 0 for ratio in ratios):
        return False
    if positive and not all(_real_enough(ratio) and _approximate(ratio).real > 0 for ratio in ratios):
        return False
    return all(close(ratios[0], ratio, digits=DIGITS[0]) for ratio in ratios[1:])
