"""Operations on exact fractions and numbers of many digits. Each refuses to compute with large numbers."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from fractions import Fraction
from typing import Any, TypeAlias

from mpmath import MPContext  # type: ignore[import-untyped]

Value: TypeAlias = Any
"""A Fraction, or a real or complex number of an mpmath context; mpmath has no types."""

MAX_BITS = 40_000
"""Size in bits above which results are computed with sixty digits instead of exactly."""
MAX_EXPONENT_BITS = 100_000
"""Power of 2 above which numbers are refused."""
MAX_FACTORIAL = 100_000


class TooBig(Exception):
    """The value is too big to be computed."""


class Undefined(Exception):
    """There is no value: division by zero, 0/0, infinity minus infinity."""


class _Context(threading.local):
    """The mpmath context of a thread. Each thread has its own, because the context holds the precision."""

    def __init__(self) -> None:
        self.mp = MPContext()


context = _Context()


def approximate(value: Value) -> Value:
    mp = context.mp
    if isinstance(value, Fraction):
        return mp.mpf(value.numerator) / value.denominator
    return value


def checked(value: Value) -> Value:
    mp = context.mp
    if isinstance(value, Fraction):
        if value.numerator.bit_length() + value.denominator.bit_length() > MAX_BITS:
            return checked(approximate(value))
        return value
    if mp.isnan(value):
        raise Undefined
    if mp.isinf(value):
        return value
    if value != 0 and abs(mp.mag(value)) > MAX_EXPONENT_BITS:
        raise TooBig
    return value


def is_integer(value: Value) -> bool:
    return isinstance(value, Fraction) and value.denominator == 1


def add(left: Value, right: Value) -> Value:
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        return left + right
    return approximate(left) + approximate(right)


def multiply(left: Value, right: Value) -> Value:
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        return left * right
    if left == 0 or right == 0:
        if any(not isinstance(side, Fraction) and context.mp.isinf(side) for side in (left, right)):
            raise Undefined
        return Fraction(0)
    return approximate(left) * approximate(right)


def divide(left: Value, right: Value) -> Value:
    if right == 0:
        raise Undefined
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        return left / right
    return approximate(left) / approximate(right)


def power(base: Value, exponent: Value) -> Value:
    mp = context.mp
    if exponent == 0:
        if base == 0 or (not isinstance(base, Fraction) and mp.isinf(base)):
            raise Undefined
        return Fraction(1)
    if base == 0:
        if isinstance(exponent, Fraction) and exponent > 0:
            return Fraction(0)
        raise Undefined
    if is_integer(exponent) and isinstance(base, Fraction):
        bits = base.numerator.bit_length() + base.denominator.bit_length()
        if bits * abs(exponent.numerator) <= MAX_BITS:
            return base**exponent.numerator
    if isinstance(base, Fraction) and abs(base) == 1 and is_integer(exponent):
        return Fraction(1) if base == 1 or exponent.numerator % 2 == 0 else Fraction(-1)
    if isinstance(base, Fraction) and base == 1:
        return Fraction(1)
    wide_base, wide_exponent = approximate(base), approximate(exponent)
    if mp.isinf(wide_base) or mp.isinf(wide_exponent):
        raise Undefined
    if mp.mag(wide_exponent) > 20 or abs(mp.mag(wide_base)) * abs(wide_exponent) > MAX_EXPONENT_BITS:
        raise TooBig
    if isinstance(exponent, Fraction) and exponent.denominator % 2 == 1 and is_real(base) and base < 0:
        root = mp.power(-wide_base, wide_exponent)  # the real root: (-8)^(1/3) is -2
        return root if exponent.numerator % 2 == 0 else -root
    return mp.power(wide_base, wide_exponent)


def is_real(value: Value) -> bool:
    return isinstance(value, Fraction) or value.imag == 0


def _root(value: Value, degree: Value) -> Value:
    if degree == 0:
        raise Undefined
    if degree == 2 and isinstance(value, Fraction) and value >= 0:
        top, bottom = _integer_root(value.numerator), _integer_root(value.denominator)
        if top is not None and bottom is not None:
            return Fraction(top, bottom)
    return power(value, divide(Fraction(1), degree))


def _integer_root(value: int) -> int | None:
    root = math.isqrt(value)
    return root if root * root == value else None


def _factorial(value: Value) -> Value:
    mp = context.mp
    if is_integer(value):
        if value < 0:
            raise Undefined
        if value > MAX_FACTORIAL:
            raise TooBig
        return Fraction(math.factorial(value.numerator)) if value <= 1500 else mp.factorial(value.numerator)
    wide = approximate(value)
    if mp.isinf(wide):
        raise Undefined
    if abs(wide) > MAX_FACTORIAL:
        raise TooBig
    return mp.gamma(wide + 1)


def _double_factorial(value: Value) -> Value:
    if not is_integer(value) or value < 0:
        raise Undefined
    if value > 1500:
        raise TooBig
    return Fraction(math.prod(range(int(value), 0, -2)))


def _binomial(top: Value, bottom: Value) -> Value:
    mp = context.mp
    if is_integer(top) and is_integer(bottom) and 0 <= top <= 5000 and bottom >= 0:
        return Fraction(math.comb(top.numerator, bottom.numerator))
    if mp.isinf(approximate(top)) or mp.isinf(approximate(bottom)):
        raise Undefined
    if max(abs(approximate(top)), abs(approximate(bottom))) > MAX_FACTORIAL:
        raise TooBig
    return mp.binomial(approximate(top), approximate(bottom))


def _floor(value: Value, *, up: bool) -> Value:
    if isinstance(value, Fraction):
        return Fraction(math.ceil(value) if up else math.floor(value))
    mp = context.mp
    if not is_real(value) or mp.mag(value) > 2000:
        raise TooBig
    nearest = mp.nint(value)
    if abs(value - nearest) < mp.mpf(10) ** (10 - mp.dps):  # a whole number except for rounding, as in floor(sqrt(2)^2)
        return Fraction(int(nearest))
    return Fraction(int(mp.ceil(value) if up else mp.floor(value)))


def trigonometric(name: str, value: Value) -> Value:
    mp = context.mp
    wide = approximate(value)
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


def logarithm(value: Value) -> Value:
    if value == 0:
        raise Undefined
    wide = approximate(value)
    if context.mp.isinf(wide):
        raise Undefined
    return context.mp.log(wide)


def exponential(value: Value) -> Value:
    wide = approximate(value)
    if context.mp.isinf(wide):
        raise Undefined
    if abs(wide) > MAX_EXPONENT_BITS / 2:
        raise TooBig
    return context.mp.exp(wide)


_Rule: TypeAlias = Callable[..., Value]
OPERATIONS: dict[str, _Rule] = {
    "add": add,
    "mul": multiply,
    "div": divide,
    "root": _root,
    "fact": _factorial,
    "double_fact": lambda value: _double_factorial(value),
    "cis": lambda value: add(trigonometric("cos", value), multiply(context.mp.mpc(0, 1), trigonometric("sin", value))),
    "binom": _binomial,
    "ln": logarithm,
    "exp": exponential,
    "neg": lambda value: -value,
    "abs": abs,
    "floor": lambda value: _floor(value, up=False),
    "ceil": lambda value: _floor(value, up=True),
    "deg": lambda value: approximate(value) * context.mp.pi / 180,
    "Re": lambda value: value if isinstance(value, Fraction) else value.real,
    "Im": lambda value: Fraction(0) if isinstance(value, Fraction) else value.imag,
}
