"""Tools by name: tools that ship, and the user's own.

"calculator", "my_tools:weather", {name: search, corpus: docs.jsonl} --make_tools--> tools, for each trajectory
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, cast, runtime_checkable

from r1ray.environments.tools.function_tool import FunctionTool
from r1ray.environments.tools.json_schema import JsonSchema
from r1ray.environments.tools.option_types import shown, wrong_option
from r1ray.environments.tools.schema import NAME
from r1ray.environments.tools.toolbox import name_of
from r1ray.environments.world_context import WorldContext
from r1ray.errors import R1RayError, UserError
from r1ray.interfaces import Tool
from r1ray.reward.own_function import load_function
from r1ray.runtime.own_code import is_any

SHIPPED = {
    "calculator": "r1ray.environments.tools.calculator:calculator",
    "mcp": "r1ray.environments.tools.mcp_tools:McpTools",
    "python": "r1ray.environments.tools.python:Python",
    "search": "r1ray.environments.tools.search:Search",
}
Entry: TypeAlias = str | Mapping[str, Any]
"""A name, or ``package.module:thing``; or an object with that as ``name``, and options."""


@runtime_checkable
class ToolSet(Protocol):
    """One entry that stands for several tools, which are known once it is open."""

    async def open(self) -> Sequence[Tool]:
        """Return the tools. Raises UserError, InfrastructureError."""
        ...

    async def close(self) -> None: ...


def make_tools(entries: Sequence[Entry], *, context: WorldContext | None = None) -> list[Tool | ToolSet]:
    """Return the tools of one trajectory. Raises UserError for an invalid tool, and for two with the same name.

    Args:
        context: passed to classes whose ``__init__`` takes a context.
    """
    if isinstance(entries, str | Mapping) or not isinstance(entries, Sequence) or not entries:
        raise UserError(f"tools={entries!r}: needs a list of tools, such as [calculator, my_tools:weather].")
    made = [_made(entry, context) for entry in entries]
    check_names([tool for tool in made if not isinstance(tool, ToolSet)])
    return made


def check_names(tools: Sequence[Tool]) -> None:
    """Raise UserError if two tools have the same name."""
    names = [name_of(tool) for tool in tools]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"tools: two are called {twice[0]}; needs one of each name.")


def _made(entry: Entry, context: WorldContext | None) -> Tool | ToolSet:
    named = {"name": entry} if isinstance(entry, str) else entry
    name = named.get("name") if isinstance(named, Mapping) else None
    if not isinstance(name, str):
        raise UserError(f"tools: found {entry!r}; needs a name, or an object such as {{name: search, corpus: PATH}}.")
    if ":" not in name and name not in SHIPPED:
        raise UserError(
            f"tools: found {name!r}; needs one of {', '.join(SHIPPED)}, or package.module:function of your own."
        )
    thing: Any = load_function("tools", SHIPPED.get(name, name))
    options = {key: value for key, value in named.items() if key != "name"}
    if inspect.isclass(thing):
        return _of_class(thing, name, options, context)
    if options:
        raise UserError(f"tools: {name} takes no options, and has {', '.join(options)}.")
    if is_any(thing, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
        raise UserError(f"tools: {name} is a generator, and yields; needs a function that returns.")
    return _of_function(thing)


@functools.cache
def _of_function(function: Callable[..., Any]) -> FunctionTool:
    """Return the same tool each time, because deriving a schema takes milliseconds and each trajectory asks for it."""
    return FunctionTool(function)


def _of_class(
    kind: Callable[..., Any], name: str, options: Mapping[str, Any], context: WorldContext | None
) -> Tool | ToolSet:
    signature = inspect.signature(kind)
    given = {**options, "context": context} if "context" in signature.parameters else options
    try:
        signature.bind(**given)
    except TypeError as error:
        raise UserError(f"tools: {name} takes {shown(signature)}: {error}.") from error
    if name in SHIPPED and (problem := wrong_option(kind, options)):
        raise UserError(f"tools: {name}: {problem}.")
    try:
        tool: Any = kind(**given)
    except R1RayError:
        raise
    except Exception as error:  # the user's own code, which may do anything
        raise UserError(f"tools: {name} cannot be made: {type(error).__name__}: {error}.") from error
    if not isinstance(tool, ToolSet):
        _check_tool(tool, name)
    return cast("Tool | ToolSet", tool)


def _check_tool(tool: Any, name: str) -> None:
    """Raise UserError for an object that is not a tool."""
    try:
        function = tool.schema["function"]
        is_tool = isinstance(function["name"], str) and isinstance(function["parameters"], Mapping)
    except (AttributeError, KeyError, TypeError):
        is_tool = False
    if not is_tool or not inspect.iscoroutinefunction(getattr(tool, "call", None)):
        raise UserError(
            f"tools: {name} is not a tool: needs a function, or a class with async call(self, arguments) and schema = "
            '{"type": "function", "function": {"name", "description", "parameters"}}.'
        )
    if not NAME.fullmatch(function["name"]):
        raise UserError(
            f"tools: {name} has the name {function['name']!r}; needs one of letters, digits, - and _, 64 at most."
        )
    try:
        JsonSchema(function["parameters"])
    except ValueError as error:
        raise UserError(f"tools: {name}: its parameters are not a JSON schema: {error}.") from error
