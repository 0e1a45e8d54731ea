"""Comparison of calls with the expected ones: in any order, each expected call made once, and no other.

Numbers are equal if their values are (3 and 3.0), texts regardless of surrounding white space, objects in any order,
lists in the same order unless their schema has ``uniqueItems``. An argument may be omitted if it has its default value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from r1ray.environments.tools.row_tools import Expected
from r1ray.turns import ToolCall, ToolSchema

A = TypeVar("A")
B = TypeVar("B")
_IGNORED = re.compile(r"[ ,./\-_*^'\"]")
_MISSING = object()


def num_matched(expected: Sequence[Expected], calls: Sequence[ToolCall], tools: Sequence[ToolSchema]) -> int:
    """Return the number of expected calls that were made; each call counts for at most one of them."""
    schemas = {tool["function"]["name"]: tool["function"].get("parameters", {}) for tool in tools}
    return _num_pairs(expected, calls, lambda one, call: is_expected(one, call, schemas.get(one.name, {})))


def is_expected(expected: Expected, call: ToolCall, schema: Mapping[str, Any]) -> bool:
    """Return whether a call matches an expected one.

    Args:
        schema: schema of the parameters.
    """
    if call.name != expected.name or call.problem:
        return False
    properties = schema.get("properties") or {}
    for name in {*expected.arguments, *call.arguments}:
        inner = properties.get(name)
        inner = inner if isinstance(inner, Mapping) else {}
        wanted, given = expected.arguments.get(name, _MISSING), call.arguments.get(name, _MISSING)
        if not _is_argument(wanted, given, inner, has_alternatives=expected.has_alternatives):
            return False
    return True


def _is_argument(wanted: Any, given: Any, schema: Mapping[str, Any], *, has_alternatives: bool) -> bool:
    """Return whether an argument is the expected one; each argument may be omitted."""
    default = schema.get("default")
    if wanted is _MISSING:
        return given is None or ("default" in schema and equal(default, given, schema))
    if given is _MISSING:
        if has_alternatives:
            return any(isinstance(value, str) and value == "" for value in wanted)
        return wanted is None or ("default" in schema and equal(wanted, default, schema))
    return _is_one_of(wanted, given, schema) if has_alternatives else equal(wanted, given, schema)


def equal(one: Any, other: Any, schema: Any) -> bool:
    """Return whether two JSON values mean the same.

    >>> equal({"a": 1, "b": [2.0]}, {"b": [2], "a": 1.0}, {}), equal(1, True, {}), equal("a ", "a", {})
    (True, False, True)
    """
    schema = schema if isinstance(schema, Mapping) else {}
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other
    if isinstance(one, str) and isinstance(other, str):
        return one.strip() == other.strip()
    if isinstance(one, list) and isinstance(other, list):
        return _equal_lists(one, other, schema)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        inner = schema.get("properties") or {}
        return one.keys() == other.keys() and all(equal(one[key], other[key], inner.get(key)) for key in one)
    return one is None and other is None


def _equal_lists(one: list[Any], other: list[Any], schema: Mapping[str, Any]) -> bool:
    if len(one) != len(other):
        return False
    items = schema.get("items")
    if schema.get("uniqueItems"):
        return _num_pairs(one, other, lambda left, right: equal(left, right, items)) == len(one)
    return all(equal(left, right, items) for left, right in zip(one, other, strict=True))


def _is_one_of(wanted: Sequence[Any], given: Any, schema: Mapping[str, Any]) -> bool:
    return any(_is_loosely(value, given, schema) for value in wanted)


def _is_loosely(wanted: Any, given: Any, schema: Any) -> bool:
    """Return whether a value equals the expected one by BFCL's rules: texts are compared without case, blanks and
    punctuation; inside an object each value is again a list of alternatives."""
    schema = schema if isinstance(schema, Mapping) else {}
    if isinstance(wanted, str) and isinstance(given, str):
        return _IGNORED.sub("", wanted).lower() == _IGNORED.sub("", given).lower()
    if isinstance(wanted, Mapping) and isinstance(given, Mapping):
        inner = schema.get("properties") or {}
        return all(
            _is_argument(
                _listed(wanted.get(key, _MISSING)),
                given.get(key, _MISSING),
                inner.get(key) or {},
                has_alternatives=True,
            )
            for key in {*wanted, *given}
        )
    if isinstance(wanted, list) and isinstance(given, list):
        items = schema.get("items")
        return len(wanted) == len(given) and all(
            _is_loosely(left, right, items) for left, right in zip(wanted, given, strict=True)
        )
    return equal(wanted, given, schema)


def _listed(wanted: Any) -> Any:
    return wanted if wanted is _MISSING or isinstance(wanted, list) else [wanted]


def _num_pairs(left: Sequence[A], right: Sequence[B], is_pair: Callable[[A, B], bool]) -> int:
    """Return the size of the largest matching of the two sequences, found by augmenting paths."""
    pairs = [[index for index, other in enumerate(right) if is_pair(one, other)] for one in left]
    taken: dict[int, int] = {}

    def place(one: int, seen: set[int]) -> bool:
        for other in pairs[one]:
            if other not in seen:
                seen.add(other)
                if other not in taken or place(taken[other], seen):
                    taken[other] = one
                    return True
        return False

    return sum(place(one, set()) for one in range(len(left)))
