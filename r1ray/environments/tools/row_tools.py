"""Tools that a row offers, and the calls that it expects, in the forms of published function-calling sets.

OpenAI   {"type": "function", "function": {"name", "description", "parameters"}}          {"name", "arguments"}
xLAM     {"name", "description", "parameters": {"city": {"type": "str, optional"}}}      {"name", "arguments"}
BFCL     {"name", "description", "parameters": {"type": "dict", "properties"}}         {"weather": {"city": ["Rome"]}}

Each is a list, or the JSON text of one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from r1ray.data.checks import UnusableRow
from r1ray.data.tool_calls import calls_of, json_of, tools_of
from r1ray.environments.tools.json_schema import json_schema
from r1ray.turns import ToolSchema

TOOLS, ANSWERS = ("tools", "function"), ("answers", "ground_truth")
"""Names of the columns; the first that a row has is used."""
_TYPES = {
    "str": "string",
    "text": "string",
    "char": "string",
    "int": "integer",
    "long": "integer",
    "float": "number",
    "double": "number",
    "bool": "boolean",
    "dict": "object",
    "hashmap": "object",
    "list": "array",
    "tuple": "array",
    "set": "array",
    "arraylist": "array",
    "any": "",
}
_OF = re.compile(r"(\w+)(?:\[(.*)\])?")


@dataclass(frozen=True, slots=True)
class Expected:
    """One call that a row expects."""

    name: str
    arguments: Mapping[str, Any]
    has_alternatives: bool = False
    """True if each argument is a list of alternatives, one of which has to be given; ``""`` stands for omitting it, as
    in BFCL. Texts are then compared without case, blanks and punctuation."""


def row_tools(columns: Mapping[str, Any]) -> tuple[ToolSchema, ...]:
    """Return the tools of a row, with their parameters as JSON schemas. Raises ValueError if it has none that are
    valid."""
    text = _tools(_column(columns, TOOLS))
    tools = tuple(_tool(found["function"]) for found in json.loads(text) if isinstance(found.get("function"), Mapping))
    if not tools:
        raise ValueError("its column of tools has no descriptions of functions")
    names = [tool["function"]["name"] for tool in tools]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"it has two tools {twice[0]}")
    return tools


def expected_calls(columns: Mapping[str, Any]) -> tuple[Expected, ...]:
    """Return the calls that a row expects, in any order. Raises ValueError if it does not tell."""
    value = _column(columns, ANSWERS)
    found = json_of(value) if isinstance(value, str) else value
    if found == []:
        return ()
    listed = [found] if isinstance(found, Mapping) else found
    if isinstance(listed, Sequence) and all(map(_has_alternatives, listed)):
        return tuple(Expected(name, dict(call[name]), has_alternatives=True) for call in listed for name in call)
    calls = json.loads(calls_of(found) or "[]")
    if not calls:
        raise ValueError("its column of answers has no list of calls with name and arguments")
    functions = [call["function"] for call in calls]
    if wrong := [each["name"] for each in functions if not isinstance(each["arguments"], dict)]:
        raise ValueError(f"the arguments of its call of {wrong[0]} are not an object")
    return tuple(Expected(each["name"], each["arguments"]) for each in functions)


def _column(columns: Mapping[str, Any], names: Sequence[str]) -> Any:
    name = next((name for name in names if columns.get(name) is not None), None)
    if name is None:
        raise ValueError(f"it has no column {' or '.join(names)}")
    return columns[name]


def _tools(value: Any) -> str:
    try:
        return tools_of({"tools": value}) or "[]"
    except UnusableRow as error:
        raise ValueError(f"its column of tools is invalid: {error}") from error


def _has_alternatives(call: Any) -> bool:
    """Return whether a call has the form ``{"name": {"argument": [values]}}``."""
    if not isinstance(call, Mapping) or len(call) != 1:
        return False
    (arguments,) = call.values()
    return isinstance(arguments, Mapping) and all(isinstance(value, list) for value in arguments.values())


def _tool(function: Mapping[str, Any]) -> ToolSchema:
    """Return a tool in OpenAI's form. Raises ValueError for parameters that are not a schema."""
    name, description = function.get("name"), function.get("description") or ""
    if not isinstance(name, str) or not name:
        raise ValueError("one of its tools has no name")
    try:
        parameters = _parameters(function.get("parameters") or {})
        json_schema(parameters)
    except (RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"the parameters of its tool {name} are not a JSON schema: {error}") from error
    return {
        "type": "function",
        "function": {"name": name, "description": str(description), "parameters": parameters},
    }


def _parameters(found: Any) -> dict[str, Any]:
    if not isinstance(found, Mapping):
        raise ValueError("needs an object")
    if isinstance(found.get("type"), str | list) or "properties" in found:
        schema = _schema(found)
        return {**schema, "type": "object", "properties": schema.get("properties", {})}
    if not all(isinstance(inner, Mapping) for inner in found.values()):
        raise ValueError("needs {name: {type, description}}")
    required = [name for name, inner in found.items() if not _is_optional(inner)]
    return {
        "type": "object",
        "properties": {name: _schema(inner) for name, inner in found.items()},
        "required": required,
    }


def _is_optional(parameter: Mapping[str, Any]) -> bool:
    return "default" in parameter or "optional" in str(parameter.get("type", "")).lower()


def _schema(found: Any) -> Any:
    """Return a JSON schema with JSON Schema's own names for types, at all levels."""
    if isinstance(found, list):
        return [_schema(item) for item in found]
    if not isinstance(found, Mapping):
        return found
    schema: dict[str, Any] = {}
    for key, value in found.items():
        if key == "type" and isinstance(value, str):
            schema |= _typed(value)
        elif key == "properties" and isinstance(value, Mapping):
            schema[key] = {name: _schema(inner) for name, inner in value.items()}
        elif key in ("items", "additionalProperties", "anyOf", "oneOf", "allOf", "prefixItems", "$defs"):
            schema.setdefault(key, _schema(value))
        elif not (key == "required" and isinstance(value, bool)):
            schema[key] = value
    return schema


def _typed(text: str) -> dict[str, Any]:
    """Return the schema of a type: ``"List[int], optional"``, ``"dict"``, ``"integer"``."""
    found = _OF.match(text.strip().lower())
    if found is None:
        return {}
    outer, inner = found[1], found[2]
    kind = _TYPES.get(outer, outer)
    if outer in ("optional", "union") or kind not in {*_TYPES.values(), "null"}:
        return _typed(inner) if outer == "optional" and inner else {}
    schema: dict[str, Any] = {"type": kind} if kind else {}
    if outer == "set":
        schema["uniqueItems"] = True
    if kind == "array" and inner and outer != "tuple":
        schema["items"] = _typed(inner)
    return schema
