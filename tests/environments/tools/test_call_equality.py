from __future__ import annotations

from typing import Any

import pytest

from r1ray.environments.tools.call_equality import equal, is_expected, num_matched
from r1ray.environments.tools.row_tools import Expected
from r1ray.turns import ToolCall

SCHEMA = {
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer", "default": 3},
        "tags": {"type": "array", "uniqueItems": True, "items": {"type": "string"}},
        "place": {"type": "object", "properties": {"ids": {"type": "array", "uniqueItems": True}}},
    }
}


@pytest.mark.parametrize(
    ("expected", "given", "is_right"),
    [
        ({"city": "Paris"}, {"city": "Paris "}, True),
        ({"city": "Paris"}, {"city": "paris"}, False),
        ({"city": "Paris"}, {"city": "Paris", "days": 3}, True),
        ({"city": "Paris"}, {"city": "Paris", "days": 3.0}, True),
        ({"city": "Paris"}, {"city": "Paris", "days": 4}, False),
        ({"city": "Paris", "days": 3}, {"city": "Paris"}, True),
        ({"city": "Paris", "days": 4}, {"city": "Paris"}, False),
        ({"city": "Paris"}, {"city": "Paris", "unit": None}, True),
        ({"city": "Paris"}, {"city": "Paris", "unit": "C"}, False),
        ({"city": "Paris"}, {}, False),
        ({"days": 3}, {"days": "3"}, False),
        ({"days": 1}, {"days": True}, False),
        ({"days": 10**400}, {"days": 10**400}, True),
        ({"days": 1.0}, {"days": float("nan")}, False),
        ({"tags": ["a", "b"]}, {"tags": ["b", "a"]}, True),
        ({"tags": ["a", "b"]}, {"tags": ["b", "b"]}, False),
        ({"hours": [1, 2]}, {"hours": [2, 1]}, False),
        ({"hours": [1, 2]}, {"hours": [1.0, 2]}, True),
        ({"place": {"ids": [1, 2], "x": None}}, {"place": {"x": None, "ids": [2, 1]}}, True),
        ({"place": {"ids": [1, 2]}}, {"place": {"ids": [1, 2], "x": 1}}, False),
        ({}, {}, True),
    ],
)
def test_arguments_are_equal_by_what_they_mean(expected: Any, given: Any, is_right: bool) -> None:
    assert is_expected(Expected("weather", expected), ToolCall("weather", given), SCHEMA) is is_right


@pytest.mark.parametrize(
    ("expected", "given", "is_right"),
    [
        ({"city": ["San Francisco", "SF"]}, {"city": "san-francisco"}, True),
        ({"city": ["San Francisco", "SF"]}, {"city": "Los Angeles"}, False),
        ({"city": ["Paris", ""]}, {}, True),
        ({"city": ["Paris"]}, {}, False),
        ({"days": [3, 4]}, {"days": 4.0}, True),
        ({"days": [3]}, {"days": 3, "unit": "C"}, False),
        ({"hours": [[1, 2]]}, {"hours": [1, 2]}, True),
        ({"place": [{"city": ["Paris", "paname"], "zip": ["75001", ""]}]}, {"place": {"city": "Paname"}}, True),
        ({"place": [{"city": ["Paris"], "zip": ["75001", ""]}]}, {"place": {"city": "Rome"}}, False),
    ],
)
def test_alternatives_are_compared_as_bfcl_does(expected: Any, given: Any, is_right: bool) -> None:
    wanted = Expected("weather", expected, has_alternatives=True)
    assert is_expected(wanted, ToolCall("weather", given), {"properties": {}}) is is_right


def test_calls_match_in_any_order_and_each_once() -> None:
    one = Expected("f", {"a": [1, 2]}, has_alternatives=True)
    other = Expected("f", {"a": [1]}, has_alternatives=True)
    calls = [ToolCall("f", {"a": 1}), ToolCall("f", {"a": 2})]
    assert num_matched([one, other], calls, []) == 2
    assert num_matched([one, other], calls[:1] * 2, []) == 2
    assert num_matched([other, other], calls, []) == 1
    assert num_matched([], calls, []) == num_matched([one], [], []) == 0
    assert num_matched([one], [ToolCall("f", {"a": 1}, problem="unclosed")], []) == 0


def test_deep_arguments_of_the_model_are_compared_no_deeper_than_what_is_expected() -> None:
    value: Any = 1
    for _ in range(10_000):
        value = [value]
    assert not equal([1], value, {})
