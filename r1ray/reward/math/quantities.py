r"""Comparison of two values: numbers, expressions, percentages, ratios, residues, numbers with a base or a unit."""

from __future__ import annotations

import re
from fractions import Fraction

from r1ray.reward.math import evaluate, families, series, structure, units, words
from r1ray.reward.math.expression import Node, Unreadable, number, parse

_NUMBER = re.compile(
    r"([+-]?)\s*([0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?|[0-9]{1,400}(?:\.[0-9]{0,400})?|\.[0-9]{1,400})"
)
_FRACTION = re.compile(r"([+-]?)\s*\\frac\s*\{\s*([+-]?[0-9]{1,300})\s*\}\s*\{\s*([0-9]{1,300})\s*\}")
_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):[0-5][0-9]")
_BASE = re.compile(
    r"(?:([0-9A-Fa-f]{1,400})|\(\s*([0-9A-Fa-f]{1,400})\s*\)|\\text\{\s*([0-9A-Fa-f]{1,400})\s*\})\s*"
    r"_\s*(\{[^{}]*(?:\{[^{}]*\})?[^{}]*\}|[0-9]{1,2}|\\text\{[^{}]*\})"
)
_SAID_BASE = re.compile(
    r"^([0-9A-Fa-f]{1,400})\s*(?:\\text\{\s*\(?\s*(?:in\s+)?base[ -]?|\(?(?:in )?base )\s*\}?\s*"
    r"([0-9]{1,2}|[a-z]{2,9})\s*\)?\s*\}?$"
)
_ENGLISH = re.compile(
    r"(?<![\\A-Za-z])(?!sin|cos|tan|cot|sec|csc|log|sqrt|exp|pmatrix|bmatrix|array|text|frac)[A-Za-z]{3,}"
)
_MODULUS = re.compile(r"\s*\(?\s*(?:\\(?:pmod|bmod|mod)(?![a-z])|\\text\{\s*mod\s*\}|\bmod\b)(.*)$", re.DOTALL)
_WORD = 3
"""Number of different unknown letters in an answer from which on they are taken for words."""
PERCENT = re.compile(
    r"\s*(?:%|\\text\{\s*(?:%|percent|per cent|percentage)\s*\}|(?<![A-Za-z])(?:percent|per cent|pct|percentage))\s*$",
    re.IGNORECASE,
)
_TO = re.compile(r"\\text\{\s*(?:to|:)\s*\}|(?<=[0-9]) to (?=[0-9])|(?<=[0-9])\s*比\s*(?=[0-9])")
_HAN_PERCENT = re.compile(r"^百分之\s*([0-9.]+)$")


def plain_number(text: str) -> Fraction | None:
    r"""Return the value of a plain number or a fraction of two; None for other text.

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
    """Return the text without spaces, except between two digits: ``1 2`` is not 12."""
    return re.sub(r"\s+(?![0-9])|(?<![0-9])\s+", "", text)


def node_of(text: str) -> Node | None:
    try:
        return parse(text)
    except Unreadable:
        return None


def as_number(text: str) -> str:
    return words.number_word(text) or text


def decide_quantities(reference: str, answer: str) -> bool | None:
    """Compare two single values, which may have a unit, a percent sign or a base, or be ratios."""
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
    left, right = units.separate(reference, trusted=True), units.separate(answer)
    if left.text == reference and right.text == answer:
        if verdict is None and "\\int" in reference:
            verdict = series.decide_integrals(reference, answer)
        return verdict if verdict is not None else _unreadable_words(reference, answer)
    factor = units.ratio(left.unit, right.unit)
    if factor is None and (turned := _turned(left, right)):
        return evaluate.equal(*turned)
    if factor is None or (left.unit is None and not right.is_sure) or (right.unit is None and not left.is_sure):
        return False  # different units, or a letter that may be a variable
    return _decide_scaled(left, right, factor)


def _turned(left: units.Quantity, right: units.Quantity) -> tuple[Node, Node] | None:
    """Return two angles as numbers if one is in degrees and one in radians; None for other values."""
    names = [quantity.unit.dimension if quantity.unit else () for quantity in (left, right)]
    if sorted(names) != [(("degree", 1),), (("radian", 1),)]:
        return None
    one, other = node_of(left.text), node_of(right.text)
    if one is None or other is None:
        return None
    return (Node("deg", (one,)), other) if names[0][0][0] == "degree" else (one, Node("deg", (other,)))


def _decide_residues(reference: str, answer: str) -> bool | None:
    """Compare residues such as ``3 mod 5``. One side may leave out the modulus if its number is the remainder."""
    sides = [_MODULUS.split(side, maxsplit=1) for side in (reference, answer)]
    moduli = {re.sub(r"[^0-9a-z]", "", side[1]) for side in sides if len(side) > 1}
    if len(moduli) > 1:
        return False
    if len(sides[0]) == 1:
        rest, modulus = plain_number(sides[1][0].strip()), plain_number(re.sub(r"[\s{})]", "", sides[1][1]))
        if rest is None or modulus is None or not 0 <= rest < modulus:
            return False
    return _decide_values(sides[0][0], sides[1][0])


def _decide_scaled(left: units.Quantity, right: units.Quantity, factor: Fraction) -> bool | None:
    a, b = node_of(as_number(left.text)), node_of(as_number(right.text))
    if a is None or b is None:
        return _unreadable_words(left.text, right.text)
    return not _has_words(a, b) and evaluate.equal(
        Node("mul", (a, number(left.scale))), Node("mul", (b, number(factor * right.scale)))
    )


def _unreadable_words(reference: str, answer: str) -> bool | None:
    """Decide about text that cannot be read: prose in place of a value is wrong, other text is left to math-verify."""
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
    if "sum" in reference and "sum" in answer:
        a, b = series.named_alike(a, b)
    return (not _has_words(a, b) and evaluate.equal(a, b)) or families.same(a, b)


def _has_words(reference: Node, answer: Node) -> bool:
    r"""Return whether the names in an answer that the reference lacks are words. The parser reads ``\text{not } 0`` and
    ``0 wrong`` as products with 0, and ``\text{wrong}^0`` as 1. ``8+0y`` is 8."""
    names = evaluate.variables(answer) - evaluate.variables(reference)
    return len(names) >= _WORD or any(name.startswith("text(") for name in names)


def _decide_percents(reference: str, answer: str) -> bool | None:
    """Compare percentages. ``25%`` is 0.25, and also 25 if one side has no percent sign and that is at least 1."""
    sides = [_HAN_PERCENT.sub(r"\1%", units.without_prefix(side)) for side in (reference, answer)]
    marked = [bool(PERCENT.search(side)) for side in sides]
    bare = [units.separate(side) for side in sides]
    if any(quantity.unit is not None and not mark for quantity, mark in zip(bare, marked, strict=True)):
        return False  # 5% is not 5 cm
    nodes = [
        node_of(PERCENT.sub("", side) if mark else quantity.text)
        for side, quantity, mark in zip(sides, bare, marked, strict=True)
    ]
    left, right = nodes
    if left is None or right is None:
        return _unreadable_words(reference, answer)
    if evaluate.variables(left) or evaluate.variables(right):
        return all(marked) and not _has_words(left, right) and evaluate.equal(left, right)
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
    if any(map(_has_words, first, second)):
        return False
    return all(
        evaluate.equal(Node("mul", (first[0], second[index])), Node("mul", (second[0], first[index])))
        for index in range(1, len(first))
    ) and not any(evaluate.equal(node, number(0)) for node in (first[0], second[0]))


def _decide_bases(reference: str, answer: str) -> bool | None:
    """Compare numbers with a base. An answer may leave out the base of its reference. ``1101_2`` equals neither the
    decimal number 1101 nor 13: it would repeat the question of a conversion instead of giving the result."""
    left, right = _based(reference), _based(answer)
    if left is None:
        return False if right is not None and node_of(units.separate(reference).text) is not None else None
    if right is None:
        return left[0] == re.sub(r"\\text|[{}]", "", compact(answer)).upper().lstrip("0")
    return left == right


def _based(text: str) -> tuple[str, int] | None:
    """Return the digits and the base of a number."""
    text = _SAID_BASE.sub(r"\1_{\2}", text)
    if not (found := _BASE.fullmatch(text)):
        return None
    digits = next(group for group in found.groups()[:3] if group).upper()
    name = re.sub(r"text|base|[^0-9a-z]", "", found.group(4).lower())
    base = int(name) if name.isdigit() else int(words.number_word(name) or 0)
    fits = 2 <= base <= 36 and all(int(digit, 36) < base for digit in digits)
    return (digits.lstrip("0"), base) if fits else None


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
