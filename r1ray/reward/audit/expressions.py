r"""Wrong answers to mathematics of any form: infinities, sets, systems, times, percentages, factorials, formulas."""

from __future__ import annotations

import re
from collections.abc import Callable

WrongAnswers = Callable[[str], list[str]]
_INFINITY = re.compile(r"\\infty|\\text\{(?:positive )?infinity\}|infinity|正无穷|负无穷|∞")
_ALL_REALS = re.compile(r"\\mathbb\{?R\}?(?P<mark>[\^_](?:\{[^{}]*\}|.))?|\\text\{all real numbers\}|all real numbers")
_CLOCK = re.compile(r"(\d{1,2}):0(\d)")
_ASSIGNED = re.compile(r"(?<![A-Za-z\\])([a-z])\s*=")
_UNKNOWNS = "qwzkx"
_UNCLEAR = ("infty", "infinity", "无穷", "pm", "mp", "bmod", "pmod", "C", "∞", "mathbb")
"""Values, and signs of values, that may stay the same if something is added to them."""


def other_infinity(text: str) -> list[str]:
    if not _INFINITY.fullmatch(text.strip("$ +-")):
        return []
    is_negative = "负" in text or text.strip("$ ").startswith("-")
    sign = "" if is_negative else "-"
    return [
        f"{sign}\\infty",
        f"\\text{{{'' if is_negative else 'negative '}infinity}}",
        f"{sign}\\text{{infinity}}",
        "0",
    ]


def other_set(text: str) -> list[str]:
    found = _ALL_REALS.fullmatch(text.strip("$ "))
    if found is None:
        return []
    if found["mark"]:
        return ["\\mathbb{R}", "\\text{all real numbers}", "\\mathbb{C}"]
    marks = ("^+", "^{-}", "^*", "_{+}", "_{>0}", "_{\\geq 0}", "\\setminus\\{0\\}")
    return [f"\\mathbb{{R}}{mark}" for mark in marks] + ["\\mathbb{Q}", "\\text{all real numbers except }0"]


def other_system(text: str) -> list[str]:
    """Return ``2x=1,y=2`` for ``x=1,y=2``."""
    found = _ASSIGNED.search(text)
    if found is None or re.fullmatch(r"[a-z]\s*=\s*0", text):
        return []
    before, after = text[: found.start()], text[found.end() :]
    unknown = found[1]
    return [f"{before}{left}={after}" for left in (f"2{unknown}", f"{unknown}+1", f"\\frac{{{unknown}}}{{3}}")]


def other_time(text: str) -> list[str]:
    found = _CLOCK.fullmatch(text.strip())
    return [f"{found[1]}:{found[2]}", f"{found[1]}:{found[2]}0", f"{found[1]}.0{found[2]}"] if found else []


def other_factorial(text: str) -> list[str]:
    found = re.fullmatch(r"\(?(\d+)\)?(!{1,2})", text.strip("$ "))
    if found is None or int(found[1]) < 3:
        return []
    number, marks = found[1], found[2]
    return [f"({number}!)!", f"{number}{'!' if marks == '!!' else '!!'}", f"{number}", f"({number}{marks})^2"]


def other_unit(text: str) -> list[str]:
    found = re.fullmatch(r"(-?\d+(?:\.\d+)?)\s*\\?%", text.strip("$ "))
    if found is None or not found[1].strip("-0."):
        return []
    number = found[1]
    return [f"{number} \\text{{ {unit}}}" for unit in ("cm", "kg", "hours")] + [f"{number}^\\circ", f"{number}0\\%"]


def other_ends(text: str) -> list[str]:
    """Return the interval with closed ends for open ones and open ends for closed ones."""
    found = re.fullmatch(r"([\[(])([^\[\]()]+),([^\[\]()]+)([\])])", text.strip("$ "))
    if found is None or "infty" in text or {found[1], found[4]} == {"(", ")"}:
        return []  # a pair in brackets may be a point
    swapped = {"[": "(", "(": "[", "]": ")", ")": "]"}
    return [
        f"{swapped[found[1]]}{found[2]},{found[3]}{swapped[found[4]]}",
        f"{found[1]}{found[2]},{found[3]}+1{found[4]}",
    ]


def other_relation(text: str) -> list[str]:
    turned = {"<": ">", ">": "<", "\\le ": "\\ge ", "\\ge ": "\\le ", "\\leq": "\\geq", "\\geq": "\\leq"}
    found = re.findall(r"<|>|\\leq?(?![a-z])|\\geq?(?![a-z])", text)
    return [text.replace(found[0], turned[found[0]])] if len(found) == 1 and found[0] in turned else []


def formula(text: str) -> list[str]:
    """Return changes of the formula, without those that may leave its value unchanged."""
    text = text.strip("$ ")
    if any(each in text for each in _UNCLEAR) or not re.search(r"[0-9a-zA-Z]", text):
        return []
    found = [f"{text}+1", f"{text}-2"]
    if not re.search(r"[=,<>]|\\text|\\[lg]eq?|:", text) and text.strip("0.") != "":
        unknown = next(letter for letter in _UNKNOWNS if letter not in text)
        found += [f"2\\left({text}\\right)", f"-\\left({text}\\right)", f"{unknown}+5={text}", f"3{unknown}={text}"]
    return found


EXPRESSION_KINDS: dict[str, WrongAnswers] = {
    "other infinity": other_infinity,
    "set with another sign": other_set,
    "equation of an unknown": other_system,
    "other time of day": other_time,
    "factorial twice": other_factorial,
    "unit for a percentage": other_unit,
    "ends of an interval": other_ends,
    "relation turned round": other_relation,
    "another formula": formula,
}
"""Kinds of wrong answers. Each function gets the reference as written, and returns nothing if it is of another kind."""
