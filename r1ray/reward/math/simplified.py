r"""The required form of an answer: ``55\times1212-15\times1212`` is 48480, but only repeats the question."""

from __future__ import annotations

import math

from r1ray.reward.math import evaluate, structure, units, words
from r1ray.reward.math.equations import before_approximation, claimed
from r1ray.reward.math.expression import Node
from r1ray.reward.math.normalise import clean
from r1ray.reward.math.quantities import PERCENT, is_one_grouped_number, node_of


def is_simplified(reference: str, answer: str) -> bool:
    r"""Return whether an answer is as simple as its reference. If all members of the reference are numbers, those of
    the answer have to be, too, with fractions in lowest terms. If the reference has other members, any form is simple.

    >>> is_simplified("10", "x = 10"), is_simplified("10", "4 + 6"), is_simplified(r"\\sqrt{8}", r"2\\sqrt{2}")
    (True, False, True)
    """
    if not all(_is_number(member, lowest=False) for member in _members(clean(reference))):
        return True
    return all(_is_number(member, lowest=True) for member in _members(clean(answer)))


def _members(text: str) -> list[str]:
    if is_one_grouped_number(text):
        return [text]
    held = structure.brackets(text)
    return list(held.items) if held else structure.items(text) or [text]


def _is_number(text: str, *, lowest: bool) -> bool:
    """Return whether a text is one number as written, without any operation left to do."""
    text = before_approximation(text)
    found = structure.chain(text)
    if found and set(found.signs) == {"="}:
        text = clean(claimed(found) or found.sides[-1])
    if words.is_words(text):
        return True
    node = node_of(units.separate(PERCENT.sub("", text), trusted=True).text)
    if node is None:
        return not lowest
    node = node.children[0] if node.kind == "neg" else node
    if node.kind != "div" or not lowest:
        return evaluate.kinds(node) <= {"num", "neg", "div"} and (node.kind in ("num", "div"))
    return _is_lowest(node)


def _is_lowest(node: Node) -> bool:
    parts = [side.children[0] if side.kind == "neg" else side for side in node.children]
    top, bottom = (side.number for side in parts)
    if top is None or bottom is None or top.denominator != 1 or bottom.denominator != 1:
        return False
    return bottom != 1 and math.gcd(int(top), int(bottom)) == 1
