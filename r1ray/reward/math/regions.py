r"""Sets of real numbers, compared piece by piece: intervals, unions, inequalities, ``\mathbb{R}``, finite sets.

``x \ge 3``, ``[3, \infty)`` and ``\{x \mid x \ge 3\}`` are one region.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cmp_to_key

from r1ray.reward.math import evaluate
from r1ray.reward.math.expression import Unreadable, parse
from r1ray.reward.math.structure import Chain, brackets, chain, split

MAX_PIECES = 60
_NAME = re.compile(r"(?:[A-Za-z]|\\[A-Za-z]+)(?:_\{?[A-Za-z0-9]+\}?)?|[a-z]\([a-z]\)")
_MARK = re.compile(
    r"\\cup|\\cap|\\in(?![a-z])|\\mathbb\{R\}|\\setminus|\\infty|\\le(?![a-z])|\\ge(?![a-z])|\\ne(?![a-z])|[<>]|\\mid"
    r"|\\emptyset|!=|^\]|\[$"
)
_OR = re.compile(r"\\lor(?![a-z])|\\text\{\s*or\s*\}|\bor\b|或者?")
_AND = re.compile(r"\\land(?![a-z])|\\text\{\s*and\s*\}|\band\b|且|并且")
_IN_REALS = re.compile(r",?\s*(?:\\text\{\s*(?:for|where)?\s*\})?[A-Za-z]\s*\\in\s*\\mathbb\{R\}\s*,?")
_REALS = re.compile(r"\\mathbb\{R\}((?:[_^](?:\{[^{}]{1,12}\}|[-+*0]|\\cdot|\\times)){0,2})")
_PARTS = {
    "": "(-\\infty,\\infty)", "+": r"(0,\infty)", ">0": r"(0,\infty)", "-": r"(-\infty,0)", "<0": r"(-\infty,0)",
    "*": r"(-\infty,0)\cup(0,\infty)", r"\ne0": r"(-\infty,0)\cup(0,\infty)", r"\cdot": r"(-\infty,0)\cup(0,\infty)",
    r"\times": r"(-\infty,0)\cup(0,\infty)", r"\ge0": r"[0,\infty)", "0+": r"[0,\infty)", "+0": r"[0,\infty)",
    r"\le0": r"(-\infty,0]", "*+": r"(0,\infty)", "+*": r"(0,\infty)", "++": r"(0,\infty)",
}  # fmt: skip
"""Subsets of the real numbers that a mark on their sign denotes."""
_ABSOLUTE = re.compile(r"\|\s*([A-Za-z])\s*([-+][^|]*)?\|")
_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "!=": "!="}


class _NotARegion(Exception):
    """The text is no set of real numbers that can be computed."""


@dataclass(frozen=True, slots=True)
class _End:
    value: evaluate.Value
    """A number, or None for infinity on that side."""
    closed: bool


@dataclass(frozen=True, slots=True)
class _Piece:
    low: _End
    high: _End


_Region = tuple[_Piece, ...]
_ALL: _Region = (_Piece(_End(None, False), _End(None, False)),)


def looks_regional(text: str) -> bool:
    """Return whether the text has a sign that only sets of numbers have (``(0, 1)`` alone may be a point)."""
    return _MARK.search(text) is not None


def _number(text: str) -> evaluate.Value:
    try:
        node = parse(text)
        if evaluate.variables(node) or "pm" in evaluate.kinds(node):
            raise _NotARegion
        value = evaluate.evaluate(node)
    except (Unreadable, evaluate.TooBig, evaluate.Undefined) as error:
        raise _NotARegion from error
    if not isinstance(value, Fraction) and value.imag != 0:
        raise _NotARegion
    return value


def _compare(left: evaluate.Value, right: evaluate.Value) -> int:
    if evaluate.close(left, right, digits=evaluate.DIGITS[0]):
        return 0
    return -1 if evaluate.less(left, right) else 1


def _end(text: str, closed: bool, *, upper: bool) -> _End:
    compact = text.replace(" ", "")
    if compact.lstrip("+-") in (r"\infty", "inf", "infty", "infinity", "oo", r"\text{infinity}"):
        if compact.startswith("-") == upper:
            raise _NotARegion
        return _End(None, False)
    return _End(_number(text), closed)


def _is_empty(piece: _Piece) -> bool:
    if piece.low.value is None or piece.high.value is None:
        return False
    order = _compare(piece.low.value, piece.high.value)
    return order > 0 or (order == 0 and not (piece.low.closed and piece.high.closed))


def _low_order(left: _Piece, right: _Piece) -> int:
    a, b = left.low, right.low
    if a.value is None or b.value is None:
        return (a.value is not None) - (b.value is not None)
    return _compare(a.value, b.value) or (b.closed - a.closed)


def _higher(left: _End, right: _End) -> _End:
    if left.value is None or right.value is None:
        return left if left.value is None else right
    order = _compare(left.value, right.value)
    return left if order > 0 or (order == 0 and left.closed) else right


def _union(pieces: list[_Piece]) -> _Region:
    """Return the pieces sorted, with touching ones merged."""
    if len(pieces) > MAX_PIECES:
        raise _NotARegion
    merged: list[_Piece] = []
    for piece in sorted((one for one in pieces if not _is_empty(one)), key=cmp_to_key(_low_order)):
        last = merged[-1] if merged else None
        if last is None:
            merged.append(piece)
            continue
        touching = last.high.value is None or piece.low.value is None
        if not touching:
            order = _compare(piece.low.value, last.high.value)
            touching = order < 0 or (order == 0 and (piece.low.closed or last.high.closed))
        if touching:
            merged[-1] = _Piece(last.low, _higher(last.high, piece.high))
        else:
            merged.append(piece)
    return tuple(merged)


def _complement(region: _Region) -> _Region:
    pieces: list[_Piece] = []
    low = _End(None, False)
    for piece in region:
        if piece.low.value is not None:
            pieces.append(_Piece(low, _End(piece.low.value, not piece.low.closed)))
        if piece.high.value is None:
            return _union(pieces)
        low = _End(piece.high.value, not piece.high.closed)
    pieces.append(_Piece(low, _End(None, False)))
    return _union(pieces)


def _intersection(left: _Region, right: _Region) -> _Region:
    return _complement(_union([*_complement(left), *_complement(right)]))


def _half(sign: str, value: evaluate.Value) -> _Region:
    point = _End(value, sign in ("<=", ">="))
    nothing = _End(None, False)
    if sign in ("<", "<="):
        return (_Piece(nothing, point),)
    if sign in (">", ">="):
        return (_Piece(point, nothing),)
    if sign == "!=":
        return _complement((_Piece(_End(value, True), _End(value, True)),))
    raise _NotARegion


def _part_of_reals(mark: str) -> _Region:
    part = _PARTS.get(re.sub(r"[_^{}]", "", mark))
    if part is None:
        raise _NotARegion
    return _read(part, 3)[1]


def _inequality(found: Chain) -> tuple[str, _Region]:
    if absolute := _ABSOLUTE.fullmatch(found.sides[0]):
        return _around(absolute, found)
    places = [index for index, side in enumerate(found.sides) if _NAME.fullmatch(side) and side not in (r"\pi", "e")]
    places = [index for index in places if found.sides[index] != r"\infty"]
    if len(places) != 1 or len(found.sides) > 3 or "=" in found.signs:
        raise _NotARegion
    place, region = places[0], _ALL
    for index, side in enumerate(found.sides):
        if abs(index - place) == 1:
            sign = found.signs[index] if index < place else found.signs[place]
            sign = _FLIPPED[sign] if index < place else sign
            if side.replace(" ", "").lstrip("+-") == r"\infty":
                continue
            region = _intersection(region, _half(sign, _number(side)))
        elif index != place:
            raise _NotARegion
    return found.sides[place], region


def _around(absolute: re.Match[str], found: Chain) -> tuple[str, _Region]:
    """Return the region of ``|x - 1| < 2``, an interval around 1, or of ``> 2``, the numbers outside it."""
    sign, name = found.signs[0], absolute.group(1)
    if len(found.sides) != 2 or sign not in ("<", "<=", ">", ">="):
        raise _NotARegion
    radius, shift = _number(found.sides[1]), _number(absolute.group(2) or "0")
    if not isinstance(radius, Fraction) or not isinstance(shift, Fraction) or radius <= 0:
        raise _NotARegion
    is_inside = sign in ("<", "<=")
    closed = (sign in ("<=", ">=")) == is_inside
    inside = (_Piece(_End(-radius - shift, closed), _End(radius - shift, closed)),)
    return name, inside if is_inside else _complement(inside)


def _read(text: str, depth: int = 0) -> tuple[str, _Region]:
    """Return the variable (or "") and the region of a text. Raises _NotARegion."""
    text = text.strip()
    if depth > 6 or not text:
        raise _NotARegion
    alternatives = _OR.split(text)
    if len(alternatives) == 1 and chain(text):
        alternatives = [piece for _, piece in split(text, frozenset((",", ";")))]
        members = [_read(piece, depth + 1) for piece in alternatives] if len(alternatives) > 1 else []
        if members:  # "x > 1, x < 3" means both, "x < 1, x > 3" either
            both = members[0][1]
            for _, region in members[1:]:
                both = _intersection(both, region)
            return _joined(members, both or _union([piece for _, region in members for piece in region]))
        alternatives = [text]
    if len(alternatives) > 1:
        members = [_read(piece, depth + 1) for piece in alternatives]
        return _joined(members, _union([piece for _, region in members for piece in region]))
    if len(both_parts := _AND.split(text)) > 1:
        members = [_read(piece, depth + 1) for piece in both_parts]
        region = members[0][1]
        for _, other in members[1:]:
            region = _intersection(region, other)
        return _joined(members, region)
    return _read_one(text, depth)


def _joined(members: list[tuple[str, _Region]], region: _Region) -> tuple[str, _Region]:
    names = {name for name, _ in members if name}
    if len(names) > 1:
        raise _NotARegion
    return (names.pop() if names else ""), region


def _read_one(text: str, depth: int) -> tuple[str, _Region]:
    inside = split(text, frozenset((r"\in",)))
    if len(inside) == 2 and _NAME.fullmatch(inside[0][1]):
        return inside[0][1], _read(inside[1][1], depth + 1)[1]
    for token in (r"\cup", r"\cap", r"\setminus"):
        parts = [piece for _, piece in split(text, frozenset((token,)))]
        if len(parts) > 1:
            members = [_read(piece, depth + 1) for piece in parts]
            region = members[0][1]
            for _, other in members[1:]:
                if token == r"\cup":
                    region = _union([*region, *other])
                else:
                    region = _intersection(region, other if token == r"\cap" else _complement(other))
            return _joined(members, region)
    if (reals := _REALS.fullmatch(text.replace(" ", ""))) is not None:
        return "", _part_of_reals(reals.group(1))
    if text.replace(" ", "") in (r"\emptyset", r"\{\}"):
        return "", ()
    if found := chain(text):
        held = brackets(text)
        if held is None:
            return _inequality(found)
    return "", _bracketed(text, depth)


def _bracketed(text: str, depth: int) -> _Region:
    held = brackets(text)
    if held is None:
        raise _NotARegion
    if held.open == r"\{":
        inner = _IN_REALS.sub(lambda match: "" if match.group().startswith(",") else "x", text[2:-2].strip())
        for mark in (r"\mid", "|", ":"):
            parts = split(inner, frozenset((mark,)))
            if len(parts) == 2 and _NAME.fullmatch(parts[0][1].strip()):
                return _read(parts[1][1], depth + 1)[1]
        return _union([_Piece(_End(_number(item), True), _End(_number(item), True)) for item in held.items])
    if len(held.items) == 1 and held.open == "(" and held.close == ")":
        return _read(held.items[0], depth + 1)[1]
    if len(held.items) != 2 or held.open not in "([" or held.close not in ")]":
        raise _NotARegion
    low, high = (
        _end(held.items[0], held.open == "[", upper=False), _end(held.items[1], held.close == "]", upper=True)
    )  # fmt: skip
    if low.value is not None and high.value is not None and _compare(low.value, high.value) > 0:
        raise _NotARegion  # (3, -1) is a point
    return _union([_Piece(low, high)])


def _same_end(left: _End, right: _End) -> bool:
    if left.value is None or right.value is None:
        return left.value is None and right.value is None
    return left.closed == right.closed and _compare(left.value, right.value) == 0


def compare(reference: str, answer: str) -> bool | None:
    """Return whether two sets of real numbers are the same; None if one of the texts is no such set."""
    try:
        (left_name, left), (right_name, right) = _read(reference), _read(answer)
    except _NotARegion:
        return None
    if left_name and right_name and left_name != right_name:
        return False
    return len(left) == len(right) and all(
        _same_end(a.low, b.low) and _same_end(a.high, b.high) for a, b in zip(left, right, strict=True)
    )
