r"""Quantities in several units: feet and inches, hours and minutes, dollars and cents, degrees and minutes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from r1ray.reward.math import evaluate, units
from r1ray.reward.math.expression import Node, Unreadable, number, parse
from r1ray.reward.math.unit_table import Unit

_PIECE = re.compile(
    r"\s*(?:,|and\b|\\text\{\s*,?\s*and\s*\}|\u53c8)?\s*"
    r"([0-9]{1,9}(?:\.[0-9]{1,9})?|\\frac\{[0-9]{1,6}\}\{[0-9]{1,6}\})\s*"
    r"(\\text\{[^{}]*\}|\^\s*\\circ|''|'|\"|[A-Za-z]+\.?|[\u4e00-\u9fff]{1,3})"
)
_SEVERAL = re.compile(rf"(?:{_PIECE.pattern}){{2,4}}\s*$")
_MAX_PIECES = 4


@dataclass(frozen=True, slots=True)
class _Total:
    value: Fraction
    """In base units."""
    unit: Unit


def _unit(text: str, *, after_degrees: bool) -> Unit | None:
    if text.endswith("circ"):
        return units.unit_of("degree")
    if text in ("'", "''", '"'):
        names = ("arcminute", "arcsecond") if after_degrees else ("foot", "inch")
        return units.unit_of(names[text != "'"])
    words = re.sub(r"\\text\{([^{}]*)\}", r"\1", text).strip(" .,")
    return units.unit_of(re.sub(r"\s*,?\s*\band$", "", words))


def _read(text: str) -> _Total | None:
    position, text = 0, text.strip()
    if not _SEVERAL.match(text):
        return None
    pieces: list[tuple[Fraction, Unit]] = []
    degrees = units.unit_of("degree")
    while position < len(text) and len(pieces) < _MAX_PIECES:
        found = _PIECE.match(text, position)
        if not found:
            return None
        is_angle = bool(pieces) and pieces[0][1] == degrees
        unit = _unit(found.group(2), after_degrees=is_angle)
        if unit is None or not unit.dimension:
            return None
        pieces.append((_number(found.group(1)), unit))
        position = found.end()
    if len(pieces) < 2 or position < len(text):
        return None
    sizes = [unit.size for _, unit in pieces]
    if len({unit.dimension for _, unit in pieces}) > 1 or sizes != sorted(set(sizes), reverse=True):
        return None
    first = pieces[0][1]
    return _Total(sum((value * unit.size for value, unit in pieces), Fraction(0)), Unit(first.dimension, Fraction(1)))


def _number(text: str) -> Fraction:
    parts = re.findall(r"[0-9.]+", text)
    return Fraction(parts[0]) if len(parts) == 1 else Fraction(int(parts[0]), int(parts[1]) or 1)


def decide(reference: str, answer: str) -> bool | None:
    """Return whether two quantities are the same, if at least one is in several units; None if neither is."""
    left, right = _read(reference), _read(answer)
    if left is None and right is None:
        return None
    if left is not None and right is not None:
        return left == right
    total, other = (left, units.separate(answer)) if left else (right, units.separate(reference, trusted=True))
    if total is None or other.unit is None or other.unit.dimension != total.unit.dimension:
        return False
    try:
        value = parse(other.text)
    except Unreadable:
        return False
    return evaluate.equal(Node("mul", (value, number(other.unit.size * other.scale))), number(total.value))
