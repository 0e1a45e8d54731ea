r"""One value against another: numbers, expressions, percentages, ratios, residues, numbers with a base or a unit."""

from __future__ import annotations

import re
from fractions import Fraction

from r1ray.reward.math import evaluate, structure, units, words
from r1ray.reward.math.expression import Node, Unreadable, number, parse

_NUMBER = re.compile(
    r"([+-]?)\s*([0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?|[0-9]{1,400}(?:\.[0-9]{0,400})?|\.[0-9]{1,400})"
)
_FRACTION = re.compile(r"([+-]?)\s*\\frac\s*\{\s*([+-]?[0-9]{1,300})\s*\}\s*\{\s*([0-9]{1,300})\s*\}")
_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):[0-5][0-9]")
_BASE = re.compile(r"([0-9A-F]+)_\s*\{?\s*\(?([0-9]{1,2})\)?\s*\}?|\(\s*([0-9A-F]+)\s*\)_\s*\{?\s*([0-9]{1,2})\s*\}?")
_ENGLISH = re.compile(
    r"(?<![\\A-Za-z])(?!sin|cos|tan|cot|sec|csc|log|sqrt|exp|pmatrix|bmatrix|array|text|frac)[A-Za-z]{3,}"
)
_MODULUS = re.compile(r"\s*\(?\s*(?:\\(?:pmod|bmod|mod)(?![a-z])|\\text\{\s*mod\s*\}|\bmod\b)(.*)$", re.DOTALL)
PERCENT = re.compile(
    r"\s*(?:%|\\text\{\s*(?:%|percent|per cent|percentage)\s*\}|(?<![A-Za-z])(?:percent|per cent|pct|percentage))\s*$",
    re.IGNORECASE,
)
_TO = re.compile(r"\\text\{\s*(?:to|:)\s*\}|(?<=[0-9]) to (?=[0-9])|(?<=[0-9])\s*比\s*(?=[0-9])")
_HAN_PERCENT = re.compile(r"^百分之\s*([0-9.]+)$")


def plain_number(text: str) -> Fraction | None:
    r"""The value of a plain number or a fraction of two; None for other text.

    >>> plain_number("1,234.50"), plain_number(r"\frac{1}{2}"), plain_number("1/x")
    (Fraction(2469, 2), Fraction(1, 2), None)
    """
    if found := _NUMBER.fullmatch(text):
        value = Fraction(found.group(2).replace(",", "").rstrip(".") or "0")
        return -value if found.group(1) == "-" else value
    if (found := _FRACTION.fullmatch(text)) and int(found.group(3)) != 0:
        value = Fraction(int(found.group(2)), int(found.group(3)))
        return -value if found.group(1) == "-" else value
    return None


def compact(text: str) -> str:
    """Without spaces, except between two digits: ``1 2`` is not 12."""
    return re.sub(r"\s+(?![0-9])|(?<![0-9])\s+", "", text)


def node_of(text: str) -> Node | None:
    try:
        return parse(text)
    except Unreadable:
        return None


def as_number(text: str) -> str:
    return words.number_word(text) or text


def decide_quantities(reference: str, answer: str) -> bool | None:
    """One value each, perhaps with a unit, a percent sign, a base, or a ratio."""
    if _MODULUS.search(reference) or _MODULUS.search(answer):
        return _decide_residues(reference, answer)
    by_ratio = _decide_ratios(reference, answer)
    if by_ratio is not None:
        return by_ratio
    by_base = _decide_bases(reference, answer)
    if by_base is not None:
        return by_base
    if PERCENT.search(reference) or PERCENT.search(answer) or "百分之" in reference + answer:
        return _decide_percents(reference, answer)
    verdict = _decide_values(reference, answer)
    if verdict is True:
        return True
    left, right = units.separate(reference), units.separate(answer)
    if left.text == reference and right.text == answer:
        return verdict if verdict is not None else _unreadable_words(reference, answer)
    factor = units.ratio(left.unit, right.unit)
    if factor is None:
        return _as_radians(reference, answer)
    return _decide_scaled(left, right, factor)


def _decide_residues(reference: str, answer: str) -> bool | None:
    """``3 mod 5``: the modulus may be left out on one side."""
    sides = [_MODULUS.split(side, maxsplit=1) for side in (reference, answer)]
    moduli = {re.sub(r"[^0-9a-z]", "", side[1]) for side in sides if len(side) > 1}
    return False if len(moduli) > 1 else _decide_values(sides[0][0], sides[1][0])


def _as_radians(reference: str, answer: str) -> bool:
    return _decide_values(reference, answer) is True


def _decide_scaled(left: units.Quantity, right: units.Quantity, factor: Fraction) -> bool | None:
    a, b = node_of(as_number(left.text)), node_of(as_number(right.text))
    if a is None or b is None:
        return _unreadable_words(left.text, right.text)
    return evaluate.equal(
        Node("mul", (a, number(left.scale))), Node("mul", (b, number(factor * right.scale)))
    )  # fmt: skip


def _unreadable_words(reference: str, answer: str) -> bool | None:
    """Prose against a value is wrong; other text that cannot be read is left to math-verify."""
    if compact(words.plain(reference)) == compact(words.plain(answer)):
        return True
    if node_of(reference) is not None and node_of(answer) is None:
        text = words.plain(answer)
        if _ENGLISH.search(text) or any("\u4e00" <= sign <= "\u9fff" for sign in text) or "__" in text:
            return False
    return None


def _decide_values(reference: str, answer: str) -> bool | None:
    a, b = node_of(reference), node_of(answer)
    if a is None or b is None:
        return None
    return evaluate.equal(a, b)


def _decide_percents(reference: str, answer: str) -> bool | None:
    """``25%`` is 0.25; where one side has no percent sign, it is 25 as well, if that is at least 1."""
    sides = [_HAN_PERCENT.sub(r"\1%", units.without_prefix(side)) for side in (reference, answer)]
    marked = [bool(PERCENT.search(side)) for side in sides]
    nodes = [
        node_of(PERCENT.sub("", side if mark else units.separate(side).text))
        for side, mark in zip(sides, marked, strict=True)
    ]
    left, right = nodes
    if left is None or right is None:
        return _unreadable_words(reference, answer)
    if evaluate.variables(left) or evaluate.variables(right):
        return evaluate.equal(left, right) if all(marked) else False
    hundredth = number(Fraction(1, 100))
    exact = [Node("mul", (node, hundredth)) if mark else node for node, mark in zip(nodes, marked, strict=True) if node]
    if evaluate.equal(*exact):
        return True
    if all(marked) or not evaluate.equal(left, right):
        return False
    try:
        value = evaluate.evaluate(left)
        return bool(abs(value) >= 1)
    except (evaluate.TooBig, evaluate.Undefined):
        return False


def _decide_ratios(reference: str, answer: str) -> bool | None:
    reference, answer = _TO.sub(":", reference), _TO.sub(":", answer)
    left, right = (structure.split(side, frozenset((":",))) for side in (reference, answer))
    if len(left) == 1 and len(right) == 1:
        return None
    if _CLOCK.fullmatch(compact(reference)) and _CLOCK.fullmatch(compact(answer)):
        return compact(reference).lstrip("0") == compact(answer).lstrip("0")
    a, b = ([node_of(piece) for _, piece in side] for side in (left, right))
    one = number(1)
    if len(a) == 1 or len(b) == 1:
        if len(a) > 2 or len(b) > 2:
            return False
        a, b = a if len(a) == 2 else [*a, one], b if len(b) == 2 else [*b, one]
    if len(a) != len(b) or None in a or None in b:
        return False if len(a) != len(b) else None
    terms = [node for node in (*a, *b) if node is not None]
    first, second = terms[: len(a)], terms[len(a) :]
    return all(
        evaluate.equal(Node("mul", (first[0], second[index])), Node("mul", (second[0], first[index])))
        for index in range(1, len(first))
    ) and not any(evaluate.equal(node, number(0)) for node in (first[0], second[0]))


def _decide_bases(reference: str, answer: str) -> bool | None:
    """Numbers with a base: the base may be left out on one side."""
    left, right = _BASE.fullmatch(reference), _BASE.fullmatch(answer)
    if not left and not right:
        return None
    digits = [
        (found.group(1) or found.group(3)) if found else side
        for found, side in ((left, reference), (right, answer))
    ]  # fmt: skip
    bases = {found.group(2) or found.group(4) for found in (left, right) if found}
    if len(bases) > 1:
        return False
    return digits[0].lstrip("0") == compact(digits[1]).lstrip("0")


def is_scalar(text: str) -> bool:
    try:
        parse(units.separate(text).text)
    except Unreadable:
        return False
    return True


def is_undefined(text: str) -> bool:
    try:
        node = parse(text)
        if not evaluate.variables(node):
            evaluate.evaluate(node)
    except evaluate.Undefined:
        return True
    except (Unreadable, evaluate.TooBig):
        return False
    return False


def is_one_grouped_number(text: str) -> bool:
    quantity = units.separate(PERCENT.sub("", text))
    return "," in text and plain_number(quantity.text) is not None
