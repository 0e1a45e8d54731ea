from __future__ import annotations

import time
from typing import Any

import pytest

from r1ray.environments.tools.json_schema import JsonSchema

ANY = JsonSchema({})


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("schema", "value", "said"),
    [
        ({"type": "integer"}, "3", "is not of type 'integer'"),
        ({"type": "integer"}, True, "is not of type 'integer'"),
        ({"properties": {"a": {"items": {"type": "string"}}}}, {"a": ["x", 1]}, "$.a[1]: 1 is not"),
        ({"required": ["a"]}, {}, "'a' is a required property"),
        ({"type": "string"}, "9" * 5, None),
        ({"type": "number"}, 3, None),
        ({"type": "integer"}, 3.0, None),
        ({"pattern": "^a+$"}, "ab", "does not match"),
        ({"patternProperties": {"^n_": {"type": "integer"}}}, {"n_a": "x"}, "is not of type"),
        ({"prefixItems": [{"type": "integer"}], "items": False}, [1, 2], "Expected at most 1 item"),
        ({"$defs": {"a": {"type": "integer"}}, "$ref": "#/$defs/a"}, "x", "is not of type"),
        ({}, float("nan"), "$ is no number"),
        ({}, {"a": [1.0, float("inf")]}, "$.a[1] is no number"),
        pytest.param({"multipleOf": 0.1}, 10**400, "too long", id="huge"),
        pytest.param({"type": "string"}, 10**5000, "too long", id="unprintable"),
        pytest.param({"items": {"$ref": "#"}}, nested(2000), "too deeply", id="deep"),
        pytest.param({}, nested(2000), "too deeply", id="deep, of any schema"),
        (False, 1, "False schema"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(schema: Any, value: Any, said: str | None) -> None:
    problem = JsonSchema(schema).problem(value)
    assert problem is None if said is None else said in str(problem)


def test_a_message_is_short_whatever_the_value() -> None:
    problem = JsonSchema({"type": "integer"}).problem("x" * 100_000)
    assert problem is not None and len(problem) < 400


def test_a_pattern_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("r1ray.environments.tools.json_schema.PATTERN_S", 0.01)
    began = time.monotonic()
    assert JsonSchema({"pattern": r"^(a|a)*$"}).problem("a" * 5000 + "!") is not None
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "whole"},
        {"properties": []},
        {"pattern": "("},
        {"$ref": "https://example.com/schema.json"},
        {"$ref": "#/$defs/missing"},
        {"items": {"$ref": "file:///etc/passwd"}},
        {"$ref": "#"},
        {"anyOf": [{"$ref": "#"}]},
        [1],
        "object",
        None,
    ],
)
def test_a_broken_schema_is_refused_before_anything_is_checked_by_it(schema: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        JsonSchema(schema)


def test_older_drafts_are_read_as_such() -> None:
    old = JsonSchema({"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "integer"}]})
    assert old.problem([1, "x"]) is None and old.problem(["x"]) is not None
