r"""Wrong answers to mathematics whose reference is a number: each kind writes the number but means another value."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction

WrongAnswers = Callable[[str, Fraction], list[str]]
_FRACTION = re.compile(r"(-?)\\[dt]?frac\{(\d+)\}\{(\d+)\}|(-?)\\[dt]?frac(\d)(\d)")
_PLAIN = re.compile(r"-?\d+(?:\.\d+)?(?:/\d+)?")
SPECIAL = (-1, 0, 1)
"""Values that many operations leave unchanged."""
WORDS = (
    "cubed",
    "squared",
    "(wrong)",
    "tenths",
    "tens",
    "halves",
    "thirds",
    "below zero",
    "inverse",
    "root",
    "incorrect",
    "score",
    "per thousand",
    "dozen",
    "factorial",
    "percent less",
    "or more",
    "is not the answer",
)
HAN_PREFIXES, HAN_SUFFIXES = ("不是", "大于"), ("的一半", "分之一", "不对", "以上", "以下", "的平方")
MAX_PLACE_VALUE = 10**15


def number_of(reference: str) -> Fraction | None:
    """Return the value of a reference that is one plain number; None for any other.

    >>> number_of("$1{,}024$"), number_of(r"\\frac{1}{2}"), number_of("x+1")
    (Fraction(1024, 1), Fraction(1, 2), None)
    """
    text = reference.strip().strip("$ ").replace("{,}", "").replace("\\!", "")
    text = text.replace(",", "") if re.fullmatch(r"-?\d{1,3}(,\d{3})+(\.\d+)?", text) else text
    if found := _FRACTION.fullmatch(text):
        sign, above, below = (found[1], found[2], found[3]) if found[2] else (found[4], found[5], found[6])
        return Fraction(int(f"{sign}{above}"), int(below)) if int(below) else None
    if not _PLAIN.fullmatch(text) or re.search(r"/0*$", text):
        return None
    whole, _, below = text.partition("/")
    return Fraction(whole) / int(below or 1)


def _written(value: Fraction) -> str:
    if value.denominator == 1:
        return str(value.numerator)
    return f"{'-' if value < 0 else ''}\\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"


def another_value(text: str, value: Fraction) -> list[str]:
    others = {value + 1, value - 1, value + 10, value * 10, value * 2 + 1, value / 3 + 7}
    others |= {-value, value / 10} if value else set()
    others |= {1 / value} if value not in SPECIAL else set()
    return sorted(_written(other) for other in others - {value})


def equation(text: str, value: Fraction) -> list[str]:
    """Return equations that hold for another value of their unknown."""
    found = [f"x+5={text}", f"x-3={text}", f"\\angle A+\\angle B+\\angle C={text}^\\circ"]
    found += [f"2x+1={text}"] if value != -1 else []
    found += [f"\\frac{{x}}{{2}}={text}", f"3x={text}"] if value else []
    found += [f"x^2={text}"] if value not in (0, 1) else []
    found += [f"x^2-4x+4={text}"] if value not in (1, 4) else []
    return [*found, f"f(x)+1={text}"]


def words_after(text: str, value: Fraction) -> list[str]:
    words = [word for word in WORDS if not (word == "factorial" and value == 2)]
    return [] if value in SPECIAL else [f"{text}\\text{{ {word}}}" for word in words] + [f"{text} {words[0]}"]


def han_words(text: str, value: Fraction) -> list[str]:
    if value in SPECIAL:
        return []
    return [f"{text}{word}" for word in HAN_SUFFIXES] + [f"{word}{text}" for word in HAN_PREFIXES]


def power_or_index(text: str, value: Fraction) -> list[str]:
    if value in SPECIAL:
        return []
    return [f"({text})^{{2}}", f"({text})^{{-1}}", f"\\sqrt{{{text}}}"] + ([f"|{text}|"] if value < 0 else [])


def other_base(text: str, value: Fraction) -> list[str]:
    """Return the same digits in other bases that have them, where their value differs."""
    if value.denominator != 1 or value < 2 or not text.isdigit():
        return []
    bases = [base for base in (2, 3, 8, 12, 16) if int(max(text)) < base <= value]
    return [f"{text}_{base}" if base < 10 else f"{text}_{{{base}}}" for base in bases]


def two_points(text: str, value: Fraction) -> list[str]:
    """Return ``1.2.3`` for 0.36, which a parser of products may read as 1.2 times .3."""
    found = []
    for last in range(1, 10):
        first = value * 10 / last
        if value > 0 and first < MAX_PLACE_VALUE and (first * 10).denominator == 1:
            whole, tenths = divmod(int(first * 10), 10)
            found.append(f"{whole}.{tenths}.{last}")
    return found


def invisible(text: str, value: Fraction) -> list[str]:
    return [f"\\{name}{{{text}}}" for name in ("phantom", "hphantom", "vphantom", "label", "tag")]


def indeterminate(text: str, value: Fraction) -> list[str]:
    found = [f"{text}+\\frac{{0}}{{0}}", f"{text}\\cdot\\frac{{0}}{{0}}", f"{text}+\\infty-\\infty"]
    return [*found, f"{text}^{{\\infty}}"] if value != 0 else found


def modulus(text: str, value: Fraction) -> list[str]:
    """Return expressions like remainders, whose values are less than the number itself."""
    if value.denominator != 1 or value < 2:
        return []
    return [f"{text} \\bmod 2", f"{text}\\bmod {text}", f"\\gcd({text},1)", f"\\lfloor\\frac{{{text}}}{{2}}\\rfloor"]


def bound(text: str, value: Fraction) -> list[str]:
    return [f"\\neq {text}", f"> {text}", f"\\geq {text}", f"x<{text}", f"[{text},\\infty)", f"\\ln({text})"]


def several(text: str, value: Fraction) -> list[str]:
    other, third = _written(value + 1), _written(value + 2)
    found = [f"{text} \\text{{ or }} {other}", f"{text}, {other}", f"\\{{{text}, {other}, {third}\\}}"]
    return [
        *found,
        f"{other} \\text{{ or }} {text}",
        *([f"{text}/{other}/{third}", f"\\pm {text}"] if value else ["0, 1"]),
    ]


def clause(text: str, value: Fraction) -> list[str]:
    other = _written(value + 1)
    return [f"\\text{{not }} {text}", f"{text}\\text{{ is wrong}}", f"{other}\\text{{, not }}{text}", f"\\neg {text}"]


NUMBER_KINDS: dict[str, WrongAnswers] = {
    "another value": another_value,
    "equation of the reference": equation,
    "words that change the value": words_after,
    "words that change the value, Chinese": han_words,
    "power, root or inverse": power_or_index,
    "digits in another base": other_base,
    "two decimal points": two_points,
    "invisible reference": invisible,
    "indeterminate": indeterminate,
    "remainder": modulus,
    "bound": bound,
    "several answers": several,
    "denied": clause,
}
"""Kinds of wrong answers. Each function gets the reference as written, and its value."""
