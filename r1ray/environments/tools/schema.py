"""Derivation of a tool's schema, which a model sees, from a typed function.

    def shout(text: str, times: int = 1) -> str:
        \"\"\"Repeat a text in capitals.

        Args:
            text: what is shouted.
        \"\"\"

    schema_of(shout) --> {"type": "function", "function": {"name": "shout", "description", "parameters"}}

pydantic converts types to JSON schemas, and arguments to Python values.
"""

from __future__ import annotations

import copy
import functools
import inspect
import json
import re
import textwrap
import typing
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError
from pydantic_core import PydanticSerializationError, to_jsonable_python

from r1ray.errors import UserError
from r1ray.turns import ToolSchema

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_ENTRY = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)")
_SECTION = re.compile(r"(Args|Arguments|Parameters|Returns?|Yields?|Raises|Examples?|Notes?):\s*$")
_ARGUMENTS = ("Args", "Arguments", "Parameters")


def schema_of(function: Callable[..., object], *, name: str | None = None) -> ToolSchema:
    """Return the schema of a function. Raises UserError that names the function and the parameter at fault."""
    told = function.func if isinstance(function, functools.partial) else function
    name = name or str(getattr(told, "__name__", type(told).__name__))
    if not NAME.fullmatch(name):
        raise UserError(f"tool {name}: needs a name of letters, digits, - and _, 64 at most: write a def with one.")
    description, described = _documented(name, inspect.getdoc(told) or "")
    parameters = _parameters(function, name)
    unknown = sorted(described.keys() - (parameters.keys() | inspect.signature(told).parameters.keys()))
    if unknown:
        raise UserError(f"tool {name}: its docstring describes the parameter {unknown[0]}, which it does not have.")
    adapters = adapters_of(function, name=name)
    properties = {each: _property(name, parameters[each], adapters[each], described.get(each)) for each in parameters}
    required = [each for each, parameter in parameters.items() if parameter.default is parameter.empty]
    schema: dict[str, Any] = {"type": "object", "properties": properties, "required": required}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


def adapters_of(function: Callable[..., object], *, name: str) -> dict[str, TypeAdapter[Any]]:
    """Return adapters that convert a function's arguments to Python values, by parameter. Raises UserError."""
    return {each: _adapter(function, name, parameter) for each, parameter in _parameters(function, name).items()}


def _parameters(function: Callable[..., object], tool: str) -> dict[str, inspect.Parameter]:
    """Return the parameters of a function. Raises UserError if one cannot be given by name."""
    try:
        parameters = dict(inspect.signature(function).parameters)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"tool {tool}: its parameters cannot be determined ({error}): write a def around it."
        ) from error
    for name, parameter in parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise UserError(f"tool {tool}, parameter {name}: is {parameter.kind.description}; needs one with a name.")
        if parameter.annotation is parameter.empty:
            raise UserError(f"tool {tool}, parameter {name}: has no type; needs one, as in {name}: int.")
    return parameters


def _adapter(function: Callable[..., object], tool: str, parameter: inspect.Parameter) -> TypeAdapter[Any]:
    inner = inspect.unwrap(function.func if isinstance(function, functools.partial) else function)
    names = getattr(inner, "__globals__", None) or getattr(inner.__call__, "__globals__", {})
    annotated = SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
    try:
        hint = typing.get_type_hints(annotated, globalns=names, include_extras=True)[parameter.name]
        return TypeAdapter(hint)
    except (PydanticUserError, NameError, TypeError, SyntaxError, RecursionError) as error:
        raise _no_schema(tool, parameter, error) from error


def _property(
    tool: str, parameter: inspect.Parameter, adapter: TypeAdapter[Any], description: str | None
) -> dict[str, Any]:
    """Return the JSON schema of a parameter, without references, which templates do not follow."""
    try:
        schema = in_one_piece(adapter.json_schema())
    except (PydanticUserError, RecursionError) as error:
        raise _no_schema(tool, parameter, error) from error
    if description:
        schema["description"] = description
    if parameter.default is not parameter.empty:
        schema["default"] = _default(tool, parameter)
    return schema


def _default(tool: str, parameter: inspect.Parameter) -> Any:
    try:
        value = to_jsonable_python(parameter.default)
        json.dumps(value, allow_nan=False)
    except (PydanticSerializationError, ValueError) as error:
        raise UserError(
            f"tool {tool}, parameter {parameter.name}: its default {parameter.default!r} cannot be written as JSON."
        ) from error
    return value


def _no_schema(tool: str, parameter: inspect.Parameter, error: BaseException) -> UserError:
    reason = "it holds itself" if isinstance(error, RecursionError) else str(error).splitlines()[0].split(". Set ")[0]
    return UserError(
        f"tool {tool}, parameter {parameter.name}: no JSON schema can be made of its type {parameter.annotation}: "
        f"{reason.rstrip('.')}. Needs int, float, str, bool, list, dict, Literal, Optional, or a dataclass of these."
    )


def in_one_piece(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema without titles and references, which templates do not follow. Raises RecursionError if it
    contains itself, and KeyError if it has a reference to a missing definition."""
    plain: dict[str, Any] = _plain(dict(schema), definitions=schema.get("$defs", {}))
    return plain


def _plain(schema: Any, *, definitions: Mapping[str, Any]) -> Any:
    """Return a schema without titles and references. Raises RecursionError if it contains itself."""
    if isinstance(schema, list):
        return [_plain(item, definitions=definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        return _plain(definitions[schema["$ref"].rpartition("/")[2]] | rest, definitions=definitions)
    plain = {}
    for key, value in schema.items():
        if key == "properties":
            plain[key] = {name: _plain(inner, definitions=definitions) for name, inner in value.items()}
        elif key in ("default", "enum", "const", "examples"):
            plain[key] = copy.deepcopy(value)
        elif key not in ("title", "$defs"):
            plain[key] = _plain(value, definitions=definitions)
    return _with_types_together(plain)


def _with_types_together(schema: dict[str, Any]) -> dict[str, Any]:
    """Return ``{"type": ["integer", "null"]}`` for a choice of plain types, because templates show a type but not a
    choice."""
    choices = schema.get("anyOf", [])
    if not choices or any(choice.keys() != {"type"} or not isinstance(choice["type"], str) for choice in choices):
        return schema
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    return {"type": [choice["type"] for choice in choices]} | rest


def _documented(tool: str, text: str) -> tuple[str, dict[str, str]]:
    """Return the description in a docstring, and those of its parameters by name. Raises UserError without a
    docstring."""
    sections: dict[str, list[str]] = {"": []}
    current = ""
    for line in text.splitlines():
        if heading := _SECTION.match(line):
            current = heading[1]
            sections.setdefault(current, [])
        elif current and line and not line[0].isspace():  # text outside of any section
            current = ""
            sections[current].append(line)
        else:
            sections[current].append(line)
    description = "\n".join(sections[""]).strip()
    if not description:
        raise UserError(f"tool {tool}: has no docstring; needs one that tells the model when to call it.")
    entries: dict[str, str] = {}
    for name in _ARGUMENTS:
        entries |= _entries(sections.get(name, []))
    return description, entries


def _entries(lines: list[str]) -> dict[str, str]:
    """Return the descriptions in an ``Args`` section; a line with more indentation continues the previous one."""
    entries: dict[str, str] = {}
    name = ""
    for line in textwrap.dedent("\n".join(lines)).splitlines():
        found = _ENTRY.fullmatch(line)
        if found and not line[0].isspace():
            name, entries[found[1]] = found[1], found[2].strip()
        elif name and line.strip():
            entries[name] = f"{entries[name]} {line.strip()}".strip()
    return entries
