from __future__ import annotations

import json
from typing import Any

import pytest

from r1ray.environments.tools.row_tools import Expected, expected_calls, row_tools

PLAIN = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
OPENAI = {"type": "function", "function": {"name": "weather", "description": "Tell.", "parameters": PLAIN}}
XLAM = {
    "name": "games",
    "description": "List games.",
    "parameters": {
        "type": {"description": "Kind.", "type": "str", "default": "game"},
        "ids": {"description": "Numbers.", "type": "List[int]"},
        "tags": {"description": "Tags.", "type": "set, optional"},
        "when": {"description": "Day.", "type": "Tuple[int, int]"},
        "any": {"description": "Any.", "type": "Union[int, str]"},
    },
}
BFCL = {
    "name": "math.area",
    "description": "Area.",
    "parameters": {
        "type": "dict",
        "properties": {
            "base": {"type": "float", "description": "Base."},
            "sides": {"type": "array", "items": {"type": "integer"}},
            "unit": {"type": "dict", "properties": {"type": {"type": "any"}}},
        },
        "required": ["base"],
    },
}


def parameters(tool: Any) -> Any:
    (found,) = row_tools({"tools": [tool]})
    return found["function"]["parameters"]


def test_openais_form_is_kept() -> None:
    assert row_tools({"tools": [OPENAI]}) == (OPENAI,)
    assert row_tools({"tools": json.dumps([OPENAI["function"]])}) == (OPENAI,)
    assert row_tools({"function": [OPENAI["function"]]}) == (OPENAI,)


def test_xlams_types_become_json_schemas() -> None:
    assert parameters(XLAM) == {
        "type": "object",
        "properties": {
            "type": {"description": "Kind.", "type": "string", "default": "game"},
            "ids": {"description": "Numbers.", "type": "array", "items": {"type": "integer"}},
            "tags": {"description": "Tags.", "type": "array", "uniqueItems": True},
            "when": {"description": "Day.", "type": "array"},
            "any": {"description": "Any."},
        },
        "required": ["ids", "when", "any"],
    }


def test_bfcls_types_become_json_schemas() -> None:
    assert parameters(BFCL) == {
        "type": "object",
        "properties": {
            "base": {"type": "number", "description": "Base."},
            "sides": {"type": "array", "items": {"type": "integer"}},
            "unit": {"type": "object", "properties": {"type": {}}},
        },
        "required": ["base"],
    }


def test_a_tool_without_parameters_takes_none() -> None:
    assert parameters({"name": "now"}) == {"type": "object", "properties": {}, "required": []}


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        (None, "no column tools or function"),
        ([], "no descriptions"),
        ("[", "invalid"),
        ([1], "no list of descriptions"),
        ([{"name": ""}], "has no name"),
        ([{"parameters": {}}], "has no name"),
        ([OPENAI, OPENAI], "two tools weather"),
        ([{"name": "a", "parameters": {"x": 3}}], "its tool a are not a JSON schema"),
        ([{"name": "a", "parameters": {"type": "object", "properties": []}}], "its tool a are not a JSON schema"),
        ([{"name": "a", "parameters": {"x": {"type": "string", "pattern": "("}}}], "its tool a are not a JSON schema"),
        ([{"name": "a", "parameters": {"x": {"$ref": "http://example.com/a"}}}], "its tool a are not a JSON schema"),
    ],
)
def test_what_is_wrong_with_tools_is_said(tools: Any, said: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as raised:
        row_tools({"tools": tools})
    assert said in str(raised.value)


def test_expected_calls_are_read_in_every_form() -> None:
    plain = (Expected("weather", {"city": "Paris"}),)
    assert expected_calls({"answers": [{"name": "weather", "arguments": {"city": "Paris"}}]}) == plain
    assert expected_calls({"answers": '[{"name": "weather", "arguments": {"city": "Paris"}}]'}) == plain
    assert expected_calls({"answers": {"name": "weather", "arguments": '{"city": "Paris"}'}}) == plain
    assert expected_calls({"answers": [{"function": {"name": "weather", "arguments": {"city": "Paris"}}}]}) == plain
    assert expected_calls({"ground_truth": [{"weather": {"city": ["Paris", ""]}}, {"now": {}}]}) == (
        Expected("weather", {"city": ["Paris", ""]}, has_alternatives=True),
        Expected("now", {}, has_alternatives=True),
    )
    assert expected_calls({"answers": []}) == expected_calls({"answers": "[]"}) == ()


@pytest.mark.parametrize("answers", [None, "", "[", "Paris", 3, [3], [{"name": 1}], [{"name": "a", "arguments": "{"}]])
def test_what_is_no_list_of_calls_is_told(answers: Any) -> None:
    with pytest.raises(ValueError, match=r"answers|arguments"):
        expected_calls({"answers": answers})
