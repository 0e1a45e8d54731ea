"""Plain classes as Ray actors, imported only where they run.

The driver never imports vLLM, DeepSpeed or torch (20 s of start-up): it names a class by its path, and the host
actor imports and builds it. ``handle.method.remote(...)`` then reads as on any Ray actor.
"""

from __future__ import annotations

import importlib
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.actor import ActorHandle

LOG_LINES, LOG_WIDTH = 12, 300


def _build(path: str, arguments: tuple[Any, ...]) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)(*arguments)


def _note_log(error: Exception) -> None:
    """Add the end of this actor's log to what it raises. Engines report the death of a subprocess with a hint to a
    stack trace that only the log has."""
    try:
        lines = Path(os.readlink("/proc/self/fd/2")).read_text(errors="replace").splitlines()[-LOG_LINES:]
    except OSError:
        return
    error.add_note("\n".join(["the end of this actor's log:", *(line[:LOG_WIDTH] for line in lines)]))


class AsyncHost:
    """Hosts an object whose methods are coroutines and async generators; many calls at a time."""

    def __init__(self, path: str, *arguments: Any) -> None:
        self._hosted = _build(path, arguments)

    async def call(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        try:
            return await getattr(self._hosted, method)(*arguments, **keywords)
        except Exception as error:
            _note_log(error)
            raise

    async def stream(self, method: str, *arguments: Any) -> AsyncIterator[Any]:
        try:
            async for item in getattr(self._hosted, method)(*arguments):
                yield item
        except Exception as error:
            _note_log(error)
            raise


class BlockingHost:
    """Hosts an object whose methods block; one call at a time, in the order of arrival."""

    def __init__(self, path: str, *arguments: Any) -> None:
        self._hosted = _build(path, arguments)

    def call(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        return getattr(self._hosted, method)(*arguments, **keywords)


@dataclass(frozen=True, slots=True)
class Method:
    """One method of a hosted object."""

    actor: ActorHandle
    name: str

    def remote(self, *arguments: Any, **keywords: Any) -> Any:
        """Call it; returns an ObjectRef. References among ``arguments`` are resolved on the other side."""
        return self.actor.call.remote(self.name, *arguments, **keywords)

    def stream(self, *arguments: Any) -> Any:
        """Iterate it; returns an ObjectRefGenerator."""
        return self.actor.stream.options(num_returns="streaming").remote(self.name, *arguments)


class Handle:
    """A hosted object, seen from elsewhere: ``handle.method.remote(...)``."""

    def __init__(self, actor: ActorHandle) -> None:
        self.actor = actor

    def __getattr__(self, name: str) -> Method:
        if name.startswith("__") or name == "actor":
            raise AttributeError(name)
        return Method(self.actor, name)

    def __reduce__(self) -> tuple[type[Handle], tuple[ActorHandle]]:
        return Handle, (self.actor,)

    def alive(self) -> Any:
        """An ObjectRef that is ready once the object is built; it raises what the constructor raised."""
        return self.actor.__ray_ready__.remote()

    def kill(self) -> None:
        ray.kill(self.actor)


def host(path: str, *arguments: Any, concurrency: int | None = None, **options: Any) -> Handle:
    """Start an actor that builds ``package.module:Class`` with ``arguments``.

    Args:
        concurrency: calls at a time of an object with async methods; None for one whose methods block.
        options: of ``ray.remote``: resources, scheduling strategy, runtime environment.
    """
    if concurrency is None:
        return Handle(ray.remote(**options)(BlockingHost).remote(path, *arguments))
    return Handle(ray.remote(max_concurrency=concurrency, **options)(AsyncHost).remote(path, *arguments))


def import_path() -> dict[str, str]:
    """The environment that lets an actor import what this process can: a user's own reward functions are where the
    command was given. (A job's working directory has another path on every node; Ray puts each node's own before.)"""
    return {"PYTHONPATH": os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH")]))}


def address_and_port() -> tuple[str, int]:
    """The address of the node that this is called on, and a free port of it."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return ray.util.get_node_ip_address(), int(probe.getsockname()[1])
