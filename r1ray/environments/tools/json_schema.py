"""Check of JSON against a schema, neither of which is trusted: no document is fetched, and no pattern runs for long.

schema --JsonSchema--> problem(value) --> None, or a sentence
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import regex
from jsonschema import Draft202012Validator, FormatChecker, SchemaError, ValidationError
from jsonschema.exceptions import best_match
from jsonschema.validators import extend, validator_for
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

PATTERN_S = 0.2
"""Time limit of one search, in seconds: Python's own matcher would block the whole process for as long as a bad pattern
takes."""
MAX_MESSAGE = 300
_REFERENCES = ("$ref", "$dynamicRef")
_CANNOT_CHECK = (ArithmeticError, RecursionError, TimeoutError, ValueError)
"""Errors of values or patterns that cannot be checked: too large a number, too deep a value, a pattern without end, a
number too long to be printed."""


class JsonSchema:
    """A JSON schema, Draft 2020-12 by default."""

    def __init__(self, schema: Any) -> None:
        """Raises ValueError for an invalid schema, or one with a reference to anything outside of it."""
        if not isinstance(schema, Mapping | bool):
            raise ValueError(f"needs a JSON object, not {type(schema).__name__}")
        kind = validator_for(schema, default=Draft202012Validator)
        try:
            kind.check_schema(schema, format_checker=FormatChecker(["regex"]))
            _check_references(schema)
            self._validator = _bounded(kind)(schema, registry=Registry())
            self._validator.is_valid(None)  # a schema that only refers to itself recurses without end
        except SchemaError as error:
            raise ValueError(f"{_shortened(error.message)} at {error.json_path}") from error
        except (RecursionError, Unresolvable) as error:
            raise ValueError(f"it has a reference that cannot be resolved: {_shortened(str(error))}") from error

    def problem(self, value: Any) -> str | None:
        """Return the problem of a value; None if it fits the schema. JSON has no NaN and no infinity."""
        try:
            if (place := _not_finite(value)) is not None:
                return f"{place} is no number that JSON has"
            error = best_match(self._validator.iter_errors(value))
            return None if error is None else _sentence(error)
        except _CANNOT_CHECK:
            return "it is nested too deeply, or a number or text in it is too long"


def json_schema(schema: Any) -> JsonSchema:
    """Return the same :class:`JsonSchema` for equal schemas: trajectories and rows use the same ones repeatedly, and
    creating one is slow. Raises the same ValueError, and TypeError for values that JSON does not have."""
    try:
        text = json.dumps(schema)
    except (RecursionError, ValueError):  # too deep, or without end: JsonSchema tells the problem
        return JsonSchema(schema)
    return _of_text(text)


@functools.lru_cache(maxsize=8192)
def _of_text(text: str) -> JsonSchema:
    return JsonSchema(json.loads(text))


@functools.cache
def _bounded(kind: Any) -> Any:
    return extend(kind, {"pattern": _pattern, "patternProperties": _pattern_properties})


def _pattern(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[ValidationError]:
    if validator.is_type(value, "string") and not regex.search(pattern, value, timeout=PATTERN_S):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    if not validator.is_type(value, "object"):
        return
    for pattern, inner in patterns.items():
        for name, item in value.items():
            if regex.search(pattern, name, timeout=PATTERN_S):
                yield from validator.descend(item, inner, path=name, schema_path=pattern)


def _check_references(schema: Any) -> None:
    """Raise Unresolvable for a reference to another document, or to nothing."""
    resource: Resource[Any] = Resource.from_contents(schema, default_specification=DRAFT202012)
    resolver = Registry().with_resource("", resource).resolver("")
    for reference in _references(schema):
        resolver.lookup(reference)


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from (value[name] for name in _REFERENCES if isinstance(value.get(name), str))
    if isinstance(value, Mapping | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _references(item)


def _not_finite(value: Any, place: str = "$") -> str | None:
    """Return the place of the first number that is infinite or NaN."""
    if isinstance(value, float):
        return None if math.isfinite(value) else place
    if isinstance(value, Mapping):
        inner = [(f"{place}.{name}", item) for name, item in value.items()]
    elif isinstance(value, list):
        inner = [(f"{place}[{index}]", item) for index, item in enumerate(value)]
    else:
        return None
    return next((found for at, item in inner if (found := _not_finite(item, at)) is not None), None)


def _sentence(error: ValidationError) -> str:
    place = "" if error.json_path == "$" else f"{error.json_path}: "
    return f"{place}{_shortened(error.message)}"


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_MESSAGE else f"{text[: MAX_MESSAGE // 2]} ... {text[-MAX_MESSAGE // 2 :]}"
