"""Environments by their names: which class a name means, and whether it can be made with its options.

    name --environment.worlds.NAME.path, SHIPPED, entry points--> WorldSource --made--> one world a trajectory

What is here runs before any actor starts; a :class:`WorldSource` then travels to the environment workers.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, cast

from r1ray.config import EnvironmentConfig, WorldConfig
from r1ray.environments.tools.option_types import shown, wrong_option
from r1ray.environments.world_context import WorldContext
from r1ray.errors import UserError
from r1ray.runtime.imports import load
from r1ray.runtime.own_code import is_any

ENTRY_POINTS = "r1ray.environments"
SHIPPED: dict[str, str] = {
    "agent": "r1ray.environments.agent:Agent",
    "calculator": "r1ray.environments.tool_world:calculator",
    "function_calling": "r1ray.environments.function_calling:FunctionCalling",
    "json_output": "r1ray.environments.json_output:JsonOutput",
    "mcp": "r1ray.environments.tool_world:mcp",
    "openenv": "r1ray.environments.openenv:OpenEnv",
    "python": "r1ray.environments.tool_world:python",
    "reasoning_gym": "r1ray.environments.reasoning_gym:ReasoningGym",
    "repository": "r1ray.environments.repository.world:Repository",
    "search": "r1ray.environments.tool_world:search",
    "tools": "r1ray.environments.tool_world:ToolEnvironment",
}
"""Environments that ship: a class, or a function that returns a world, called with the options for each trajectory."""
CONTEXT = "context"
"""The keyword argument of a class that wants a :class:`WorldContext`."""
CALLED = {"reset": ("prompt", "seed"), "step": ("action",)}
"""Methods that every world has, and what they are called with."""
CALLED_OF_AGENTS = {"reset": CALLED["reset"], "run": ("access", "out_of_time")}
"""Those of a world that ships and has an agent: see :class:`r1ray.environments.agent_world.AgentWorld`."""


@dataclass(frozen=True, slots=True)
class WorldSource:
    """The source of the worlds of one name."""

    name: str
    path: str
    """``package.module:Class``."""
    options: Mapping[str, Any] = field(default_factory=dict)
    is_shipped: bool = False
    """r1ray's own: its methods hold up nobody."""

    def made(self, context: WorldContext) -> Any:
        """Return another world. Raises whatever the constructor does."""
        maker = self.maker()
        return maker(**self.options, **({CONTEXT: context} if _takes_context(maker) else {}))

    def has(self, method: str) -> bool:
        """Return whether worlds have a method, as far as a class says so; what a function makes is not looked at."""
        return callable(getattr(self.maker(), method, None))

    @property
    def has_agent(self) -> bool:
        """Return whether its worlds have an agent: see :class:`r1ray.environments.agent_world.AgentWorld`."""
        return self.is_shipped and self.has("run")

    def maker(self) -> Any:
        """Return the class, or the function, that makes a world."""
        return load(self.path)


def known_names(config: EnvironmentConfig) -> list[str]:
    """Return the names that rows may have."""
    return sorted({*SHIPPED, *config.worlds, *(point.name for point in entry_points(group=ENTRY_POINTS))})


def source_of(name: str, config: EnvironmentConfig) -> WorldSource:
    """Return what worlds of a name are made from. Raises UserError for an unknown name, for what cannot be imported,
    and for what cannot be made with its options, or lacks a method."""
    world = config.worlds.get(name, WorldConfig())
    key = f"environment.worlds.{name}"
    if world.path is not None and ":" in world.path:
        named, path, is_shipped = f"{key}.path={world.path}", world.path, False
    else:
        named, path, is_shipped = _by_name(name, world, config)
    maker = _loaded(named, path)
    if problem := _options_problem(maker, world.options):
        raise UserError(f"{key}.options={world.options}: {named if is_shipped else path} {problem}.")
    if is_shipped and (problem := wrong_option(maker, world.options)):
        raise UserError(f"{key}.options.{problem}.")
    if inspect.isclass(maker) and (problem := method_problem(maker, of_class=True, ships=is_shipped)):
        raise UserError(f"{named}: {problem}.")
    return WorldSource(name, path, world.options, is_shipped)


def _by_name(name: str, world: WorldConfig, config: EnvironmentConfig) -> tuple[str, str, bool]:
    """Return how messages call an environment that ships, or that a package offers, its path, and whether it ships."""
    wanted = world.path or name
    if wanted in SHIPPED:
        return f"environment {wanted}", SHIPPED[wanted], True
    offered = {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}
    if wanted in offered:
        return f"environment {wanted} (entry point {offered[wanted]})", offered[wanted], False
    said = f"environment.worlds.{name}.path={world.path}" if world.path else f"environment {name}"
    known = ", ".join(each for each in known_names(config) if each != name)
    raise UserError(
        f"{said}: no such environment; needs {f'one of {known}, or ' if known else ''}"
        f"environment.worlds.{name}.path=package.module:Class."
    )


def _loaded(named: str, path: str) -> Callable[..., object]:
    try:
        maker = load(path)
    except (Exception, SystemExit) as error:  # importing runs the user's module, which may do anything
        raise UserError(
            f"{named}: needs package.module:Class of an importable class: {type(error).__name__}: {error}."
        ) from error
    if not callable(maker):
        raise UserError(f"{named}: is an object of type {type(maker).__name__}; needs a class with reset and step.")
    return cast("Callable[..., object]", maker)


def _options_problem(maker: Callable[..., object], options: Mapping[str, Any]) -> str | None:
    """Return why a class cannot be made with options; None if it can, or does not say."""
    try:
        signature = inspect.signature(maker)
    except (ValueError, TypeError):  # of some classes in C nothing is known
        return None
    try:
        signature.bind(**options, **({CONTEXT: None} if _takes_context(maker) else {}))
    except TypeError as error:
        return f"takes {shown(signature)}: {error}"
    return None


def method_problem(world: object, *, of_class: bool = False, ships: bool = False) -> str | None:
    """Return why an object is no world: a method is not there, or takes other arguments; None if it is one.

    Args:
        of_class: it is the class of a world, whose methods take the world first.
    """
    has_agent = ships and not hasattr(world, "step")
    for name, arguments in (CALLED_OF_AGENTS if has_agent else CALLED).items():
        method = getattr(world, name, None)
        if not callable(method):
            owner = world.__name__ if inspect.isclass(world) else type(world).__name__
            return f"{owner} has no method {name}({', '.join(arguments)})"
        try:
            signature = inspect.signature(method)
        except (ValueError, TypeError):
            continue
        if is_any(method, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
            return f"its method {name} is a generator, and yields; needs one that returns"
        is_unbound = of_class and inspect.isfunction(inspect.getattr_static(world, name))
        try:
            signature.bind(*(["self"] if is_unbound else []), *arguments)
        except TypeError as error:
            return f"its method {name} takes {signature}, and is called with ({', '.join(arguments)}): {error}"
    return None


def _takes_context(maker: Callable[..., object]) -> bool:
    try:
        return CONTEXT in inspect.signature(maker).parameters
    except (ValueError, TypeError):
        return False
