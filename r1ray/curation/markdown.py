r"""Faults of Markdown that does not render as intended: from a text to its first fault, or None. Linear time.

Only certain faults count: a code fence, ``$$`` or ``\[`` without its other half, and tables that lose cells. Forms that
are often intended do not count: single dollars (prices), stars, brackets, table rows that are too short.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from r1ray.data.prose import prose

_FENCE: Final = re.compile(
    r"^[ \t]*+(?:>[ \t]*+)*+(?P<item>(?:[-*+]|\d{1,3}[.)])[ \t]++)?+(?P<mark>`{3,}+|~{3,}+)[ \t]*+(?P<info>[^\n]*)$",
    re.MULTILINE,
)
_DISPLAY: Final = re.compile(r"(?<![\\$])\$\$(?!\$)")
_BRACKET: Final = re.compile(r"\\.|[\[\]]", re.DOTALL)
_FORMULA: Final = re.compile(r"\\[A-Za-z]|[\^=]|\d[ ]?[-+*/][ ]?\d")
_PIPE: Final = re.compile(r"(?<!\\)\|")
_RULE: Final = re.compile(r":?-+:?")


class Fence(NamedTuple):
    """A fenced block."""

    start: int
    end: int
    is_closed: bool


def fences(text: str) -> Iterator[Fence]:
    """Yield the fenced blocks, also those inside of list items and quotations; the last one may be open to the end of
    the text."""
    opened: re.Match[str] | None = None
    for line in _FENCE.finditer(text):
        if opened is None:
            if line["mark"][0] == "~" or "`" not in line["info"]:
                opened = line
        elif line["mark"].startswith(opened["mark"]) and not line["info"].strip() and not line["item"]:
            yield Fence(opened.start(), line.end(), True)
            opened = None
    if opened is not None:
        yield Fence(opened.start(), len(text), False)


def without_fences(text: str) -> str:
    """Return the text, with a 0 on a line of its own for each fenced block."""
    pieces, start = [], 0
    for fence in fences(text):
        pieces += [text[start : fence.start], "0"]
        start = fence.end
    return "".join((*pieces, text[start:]))


def broken_markup(text: str) -> str | None:
    r"""Return the first fault.

    >>> broken_markup("It costs $5, or $$ on their scale."), broken_markup("So $$x = 4$ it is.")
    (None, '$$ without its other half')
    """
    if not all(fence.is_closed for fence in fences(text)):
        return "a code fence is never closed"
    open_text = without_fences(text)
    return _broken_formula(prose(open_text)) or _broken_table(open_text)


def _broken_formula(left: str) -> str | None:
    """Return the first fault of a formula. ``prose`` has removed everything that is closed. Half a formula, without
    other signs of a formula in the same paragraph, is a character that the text is about."""
    num_display = 0
    has_formula = False
    for paragraph in re.split(r"\n[ \t]*\n", left):
        marks = list(_FORMULA.finditer(paragraph))
        for half in _half_brackets(paragraph) if marks else ():
            opens = half[0] == "\\["
            if marks[-1].start() >= half.end() if opens else marks[0].end() <= half.start():
                return f"{half[0]} without its other half"
        num = len(_DISPLAY.findall(paragraph))
        num_display += num
        has_formula |= num > 0 and bool(marks)
    return "$$ without its other half" if num_display % 2 and has_formula else None


def _half_brackets(paragraph: str) -> list[re.Match[str]]:
    r"""Return each ``\[`` and ``\]`` without a matching bracket. If the other half is a plain bracket, as in ``\[1]``,
    it is an escaped bracket in Markdown."""
    opened: list[re.Match[str]] = []
    halves = []
    for bracket in _BRACKET.finditer(paragraph):
        if bracket[0] in ("[", "\\["):
            opened.append(bracket)
        elif bracket[0] in ("]", "\\]"):
            if opened:
                opened.pop()
            elif bracket[0] == "\\]":
                halves.append(bracket)
    return [*halves, *(bracket for bracket in opened if bracket[0] == "\\[")]


def _broken_table(text: str) -> str | None:
    """Return the first fault of a table by GitHub's rules: the line of dashes has as many cells as the header,
    otherwise there is no table; cells of a row beyond that number are lost, missing ones are empty."""
    header, num_columns = "", 0
    for line in text.splitlines():
        cells = _cells(line)
        if num_columns:
            if len(cells) > num_columns:
                return f"a table row of {len(cells)} cells below a header of {num_columns}"
            num_columns = num_columns if cells else 0
        elif cells and all(_RULE.fullmatch(cell) for cell in cells) and (above := _cells(header)):
            if len(above) != len(cells):
                return f"a table header of {len(above)} cells above a rule of {len(cells)}"
            num_columns = len(cells)
        header = line
    return None


def _cells(line: str) -> list[str]:
    """Return the cells of a table's row, without code and formulae; empty if there is no pipe."""
    if "|" not in line:
        return []
    cells = [cell.strip() for cell in _PIPE.split(prose(line).strip().removeprefix(">").strip())]
    if len(cells) > 1 and not cells[0]:
        cells = cells[1:]
    if len(cells) > 1 and not cells[-1]:
        cells = cells[:-1]
    return cells
