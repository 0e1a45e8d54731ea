"""Values of a row's columns, whose names are in lower case."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

from r1ray.data.checks import MalformedRow, is_absent
from r1ray.data.json_text import parse


def folded(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row with its column names in lower case. If two names become equal, the column with a value counts,
    and if both have one, the column whose name was in lower case.

    >>> folded({"Problem": "p", "ID": 1, "id": 2, "Answer": "x", "answer": None})
    {'problem': 'p', 'id': 2, 'answer': 'x'}
    """
    found: dict[str, Any] = {}
    for name, value in row.items():
        known = found.get(name.lower())
        if is_absent(known) or (name.islower() and not is_absent(value)):
            found[name.lower()] = value
    return found


def value_of(row: Mapping[str, Any], *names: str) -> Any:
    """Return the first value that exists; None if there is none. ``a.b`` is a field in a column."""
    for name in names:
        value: Any = row
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if not is_absent(value) and value != "":
            return value
    return None


def text_of(row: Mapping[str, Any], *names: str) -> str:
    """Return the first value that exists, unchanged, else "". Raises MalformedRow if it is no text."""
    value = value_of(row, *names)
    if value is not None and not isinstance(value, str):
        raise MalformedRow(f"{' or '.join(names)} needs text, found {kind_of(value)}")
    return value or ""


def label_of(row: Mapping[str, Any], *names: str) -> str:
    """Return the first value that exists as a stripped name or number, else "". Lists and objects are no labels."""
    for name in names:
        value = value_of(row, name)
        if isinstance(value, str | int | float) and not isinstance(value, bool) and str(value).strip():
            return str(value).strip()
    return ""


def kind_of(value: Any) -> str:
    """Return the kind of a value, in words for a message.

    >>> kind_of({"target": 98, "numbers": None}), kind_of([1, 2]), kind_of(True)
    ('an object (target)', 'a list of 2', 'true')
    """
    if isinstance(value, Mapping):
        return f"an object ({', '.join(str(key) for key, held in value.items() if held is not None) or 'empty'})"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, bytes):
        return "bytes"
    return f"{value!r:.60}"


def without_none(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object without its empty fields. Parquet gives every row the fields of all rows."""
    return {key: held for key, held in value.items() if held is not None}


def unpacked(value: Any, *, column: str) -> Any:
    """Return the value of a column, decoded if it is JSON text. Raises MalformedRow for other text."""
    if not isinstance(value, str):
        return value
    try:
        return parse(value)
    except ValueError as error:
        raise MalformedRow(f"{column} is no JSON: {error}") from error


def literal(value: Any, *, column: str) -> Any:
    """Return the value of a column, decoded if it is JSON text or the text of a Python literal. Raises MalformedRow."""
    try:
        return unpacked(value, column=column)
    except MalformedRow:
        try:
            return ast.literal_eval(value)
        except (MemoryError, RecursionError, SyntaxError, ValueError) as error:
            raise MalformedRow(f"{column} is neither JSON nor a Python literal: {value!r:.60}") from error


_QUOTED = re.compile(r"\s*[{\[][{\[\s]*'")
"""Beginning of the Python text of an object or a list, as it occurs in CSV copies."""


def structure_in(text: str) -> Any:
    """Return the list or object of a text in JSON or Python; None for other text, such as a set or an interval.

    >>> structure_in('["4"]'), structure_in("{'a': 1}"), structure_in("{1, 2}"), structure_in("[0, 1)")
    (['4'], {'a': 1}, None, None)
    """
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        found = literal(text, column="") if _QUOTED.match(text) else parse(text)
    except ValueError:
        return None
    return found if isinstance(found, dict | list) else None
