"""Tools of a row and tool calls of an answer, as JSON in the form that chat templates accept.

    {"type": "function", "function": {"name", "description", "parameters"}}
    {"type": "function", "function": {"name", "arguments"}}

Keys without a value are left out: Parquet gives every call the arguments of all calls, and every tool the keys of all
tools.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from r1ray.data.checks import UnusableRow


def calls_of(value: Any) -> str:
    """Return the tool calls of an answer as JSON; "" if there are none.

    The arguments are an object if possible.
    """
    found = json_of(value) if isinstance(value, str) else value
    listed = [found] if isinstance(found, Mapping) else found
    if not isinstance(listed, list):
        return ""
    calls = [_call(call) for call in listed]
    return json.dumps(calls, ensure_ascii=False) if calls and all(calls) else ""


def _call(found: Any) -> dict[str, Any]:
    """Return one call; {} for a value that is none. The id is kept, since a reply refers to it in some templates."""
    outer: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    called = outer.get("function", outer)
    if not isinstance(called, Mapping) or not isinstance(called.get("name"), str):
        return {}
    function = {"name": called["name"], "arguments": _arguments(called.get("arguments"))}
    named = {"id": outer["id"]} if isinstance(outer.get("id"), str) else {}
    return {"type": "function", **named, "function": function}


def _arguments(value: Any) -> Any:
    found = json_of(value) if isinstance(value, str) else value
    return _without_none(found) if found is not None else value or {}


def tools_of(row: Mapping[str, Any]) -> str:
    """Return the tools in a row's column ``tools`` as JSON; "" if there are none."""
    value = row.get("tools")
    found = json_of(value) if isinstance(value, str) else value
    if not value or found == []:
        return ""
    if not isinstance(found, list) or not all(isinstance(tool, Mapping) for tool in found):
        raise UnusableRow("tools is no list of descriptions of tools")
    tools = [tool if "function" in tool else {"type": "function", "function": tool} for tool in found]
    return json.dumps(_without_none(tools), ensure_ascii=False)


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_none(each) for key, each in value.items() if each is not None}
    return [_without_none(each) for each in value] if isinstance(value, list) else value


def json_of(text: str) -> Any:
    """Return the value of a JSON text; None if the text is no JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
