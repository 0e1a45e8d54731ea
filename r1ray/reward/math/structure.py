r"""The outer form of an answer: lists, tuples, sets, intervals, relations, matrices, found by matching brackets."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|.", re.DOTALL)
_OPEN = frozenset(("(", "[", "{", r"\{", r"\langle", r"\lfloor", r"\lceil", r"\begin"))
_CLOSE = frozenset((")", "]", "}", r"\}", r"\rangle", r"\rfloor", r"\rceil", r"\end"))
_CONJUNCTION = re.compile(
    r"\\text\{\s*,?\s*(?:and|or|and also)\s*,?\s*\}|(?<![A-Za-z\\])(?:and|or)(?![A-Za-z])"
    r"|\\text\{\s*(?:和|或|或者|与|及)\s*\}"
    r"|或者|(?<=[^\u4e00-\u9fff])\s*(?:以及|或|和|与|及)\s*(?=[^\u4e00-\u9fff])"
)
RELATIONS = {"=": "=", "<": "<", ">": ">", r"\le": "<=", r"\ge": ">=", r"\ne": "!=", r"\approx": "=", r"\equiv": "=",
             "<=": "<=", ">=": ">=", "!=": "!="}  # fmt: skip
_MATRIX = re.compile(r"^\\begin\{(pmatrix|bmatrix|matrix|array|Bmatrix|smallmatrix)\}(.*)\\end\{\1\}$", re.DOTALL)
_COLUMNS = re.compile(r"^\s*\{[clr|\s]*\}")


@dataclass(frozen=True, slots=True)
class Brackets:
    """A text in one pair of brackets, cut at its commas: ``(1, 2]`` has open ``(``, close ``]`` and two items."""

    open: str
    close: str
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain of relations: ``0 < x < 1`` has three sides and two signs."""

    sides: tuple[str, ...]
    signs: tuple[str, ...]


def _tokens(text: str) -> list[tuple[str, int, int]]:
    return [(match.group(), match.start(), match.end()) for match in _TOKEN.finditer(text)]


def split(text: str, separators: frozenset[str]) -> list[tuple[str, str]]:
    """Return the pieces outside all brackets, each with the separator before it ("" for the first).

    A closing bracket that was never opened is no bracket, so ``]0, 1[`` is not kept together.
    """
    pieces: list[tuple[str, str]] = []
    depth, start, before = 0, 0, ""
    for token, begin, end in _tokens(text):
        if token in _OPEN:
            depth += 1
        elif token in _CLOSE:
            depth = max(0, depth - 1)
        elif depth == 0 and token in separators:
            pieces.append((before, text[start:begin].strip()))
            start, before = end, token
    pieces.append((before, text[start:].strip()))
    return pieces


def items(text: str) -> list[str]:
    r"""Return the members of a list without brackets, split at commas, semicolons, ``and``, ``or``.

    >>> items(r"1, (2, 3) \text{ and } 4")
    ['1', '(2, 3)', '4']
    """
    joined = _CONJUNCTION.sub(" , ", text)
    return [piece for _, piece in split(joined, frozenset((",", ";"))) if piece]


def brackets(text: str) -> Brackets | None:
    """Return the bracket around the whole text; None if there is none.

    >>> brackets("(1, 2]").items
    ('1', '2')
    >>> brackets("(1)(2)") is None
    True
    """
    tokens = _tokens(text)
    if len(tokens) < 2 or tokens[0][0] not in ("(", "[", r"\{", r"\langle", "]"):
        return None
    first, last = tokens[0][0], tokens[-1][0]
    if first == "]" or last == "[":  # ]0, 1[ is an open interval
        if first not in "][" or last not in "][" or len(split(text[1:-1], frozenset((",",)))) != 2:
            return None
        first, last = ("(" if first == "]" else "["), (")" if last == "[" else "]")
        return Brackets(first, last, tuple(items(text[1:-1])))
    if last not in (")", "]", r"\}", r"\rangle"):
        return None
    depth = 0
    for token, _, end in tokens:
        if token in _OPEN:
            depth += 1
        elif token in _CLOSE:
            depth -= 1
            if depth == 0 and end != len(text):
                return None
    if depth != 0:
        return None
    inner = text[tokens[0][2] : tokens[-1][1]]
    return Brackets(first, last, tuple(items(inner)))


def chain(text: str) -> Chain | None:
    """Return the relations outside all brackets; None if there are none."""
    text = text.replace("<=", r"\le ").replace(">=", r"\ge ").replace("!=", r"\ne ").replace("==", "=")
    pieces = split(text, frozenset(RELATIONS))
    if len(pieces) < 2:
        return None
    return Chain(tuple(piece for _, piece in pieces), tuple(RELATIONS[sign] for sign, _ in pieces[1:]))


def matrix(text: str) -> tuple[tuple[str, ...], ...] | None:
    """Return the rows of a matrix; None for other text. Round and square matrices are the same."""
    held = brackets(text)
    if held and "begin" in text and held.open in "([":
        text = text[1:-1].strip()
    found = _MATRIX.match(text)
    if not found:
        return None
    body = _COLUMNS.sub("", found.group(2)) if found.group(1) == "array" else found.group(2)
    rows = [row.strip() for row in re.split(r"\\\\(?:\[[^\]]*\])?|\\cr\b", body.replace(r"\hline", ""))]
    return tuple(tuple(cell.strip() for cell in row.split("&")) for row in rows if row)
