"""Columns of a benchmark: the values of a row by the benchmark's ``fields``, and the text of a prompt with these
values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from r1ray.data.layouts import Row
from r1ray.errors import UserError
from r1ray.evaluation.benchmarks.definition import Column

_NAME = re.compile(r"\{([a-z_]+)\}")
_ABSENT = object()


def value_of(row: Row, column: Column) -> Any:
    """Return the value of a row in a column, by the first of its names that the row has; None if it has none of them.

    >>> value_of({"Problem": "1+1", "turns": [{"content": "hi"}]}, "problem | Problem")
    '1+1'
    >>> value_of({"turns": [{"content": "hi"}]}, "turns.0.content")
    'hi'
    >>> value_of({"A": "x", "B": "y"}, ["A", "B"])
    ['x', 'y']
    """
    if isinstance(column, list):
        return [value_of(row, each) for each in column]
    found = (_reach(row, name) for name in column.split(" | "))
    return next((value for value in found if value is not _ABSENT), None)


def has_column(row: Row, column: Column) -> bool:
    """Return whether the row has a column, whatever its value."""
    names = column if isinstance(column, list) else [column]
    return all(any(_reach(row, name) is not _ABSENT for name in each.split(" | ")) for each in names)


def text_of(row: Row, column: Column | None) -> str:
    """Return the value as text; "" if there is none."""
    value = None if column is None else value_of(row, column)
    return "" if value is None else str(value).strip()


def _reach(row: Any, path: str) -> Any:
    if isinstance(row, Mapping) and path in row:
        return row[path]
    here, dot, rest = path.partition(".")
    if isinstance(row, Mapping) and here in row:
        return _reach(row[here], rest) if dot else row[here]
    if isinstance(row, list) and here.isdecimal() and int(here) < len(row):
        return _reach(row[int(here)], rest) if dot else row[int(here)]
    return _ABSENT


def fill(prompt: str, values: Mapping[str, str]) -> str:
    r"""Fill the ``{names}`` of a prompt; other braces, as in ``\boxed{}``, are kept. Raises UserError.

    >>> fill(r"{question} In \boxed{}.", {"question": "1+1?"})
    '1+1? In \\boxed{}.'
    """

    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise UserError(f"prompt: {{{match[1]}}} is not one of its fields; they are {', '.join(sorted(values))}.")
        return values[match[1]]

    return _NAME.sub(value, prompt).strip()
