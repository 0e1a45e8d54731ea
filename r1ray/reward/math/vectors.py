r"""Vectors as sums of unit vectors: ``3\mathbf{i} - 4\mathbf{j}`` is ``(3, -4)``."""

from __future__ import annotations

import re

from r1ray.reward.math import evaluate, structure
from r1ray.reward.math.expression import Node, Unreadable, number, parse

_ACCENT = r"\\(?:hat|vec|widehat|overline|bar|underline)\s*\{?\s*"
_BASIS = re.compile(
    rf"{_ACCENT}(?:\\text\{{\s*)?(?:([ijk])(?![A-Za-z])|\\([ij])math)\s*\}}{{0,2}}|\\text\{{\s*([ijk])\s*\}}"
)
_PLAIN = re.compile(r"(?<![A-Za-z\\])([ijk])(?![A-Za-z])")
_MAY_BE = re.compile(r"[ijk]\s*\}|j|[ij]math|\\(?:hat|vec)\s*[ijk]")
_LETTER = re.compile(r"(?<![A-Za-z\\])[A-Za-z](?![A-Za-z])")


def _components(text: str) -> tuple[Node, ...] | None:
    """Return the three components; None for text that is no sum of unit vectors."""
    pattern = _BASIS
    if not pattern.search(text):
        letters = set(_LETTER.findall(text))
        if not ("j" in letters and letters <= {"i", "j", "k"}):
            return None
        pattern = _PLAIN
    named = {next(group for group in found.groups() if group) for found in pattern.finditer(text)}
    if named == {"i"} and r"\text" in text:  # an upright i is the imaginary unit as well
        return None
    try:
        rest = parse(_only("", text, pattern))
        parts = tuple(parse(_only(name, text, pattern)) for name in "ijk")
    except Unreadable:
        return None
    return parts if not evaluate.variables(rest) and evaluate.equal(rest, number(0)) else None


def _only(name: str, text: str, pattern: re.Pattern[str]) -> str:
    return pattern.sub(lambda found: "(1)" if name and name in found.groups() else "(0)", text)


def _listed(text: str) -> tuple[Node, ...] | None:
    rows = structure.matrix(text)
    held = structure.brackets(text)
    items: tuple[str, ...] = ()
    if rows:
        items = rows[0] if len(rows) == 1 else tuple(row[0] for row in rows if len(row) == 1)
    elif held and held.open in ("(", "[", r"\langle"):
        items = held.items
    try:
        return tuple(parse(item) for item in items) if len(items) in (2, 3) else None
    except Unreadable:
        return None


def decide(reference: str, answer: str) -> bool | None:
    """Return whether two vectors are the same, if at least one is a sum of unit vectors; None if neither is."""
    if not any(_MAY_BE.search(text) for text in (reference, answer)):
        return None
    sums = [_components(text) for text in (reference, answer)]
    if sums == [None, None]:
        return None
    sides = [own or _listed(text) for own, text in zip(sums, (reference, answer), strict=True)]
    left, right = sides
    if left is None or right is None:
        return None
    zero = number(0)
    pairs = [(side[index] if index < len(side) else zero) for index in range(3) for side in (left, right)]
    return all(evaluate.equal(pairs[at], pairs[at + 1]) for at in (0, 2, 4))
