"""Plain classes as Ray actors, imported only where they run.

The driver never imports vLLM, DeepSpeed or torch (20 s of start-up): it names a class by its path, and the host
actor imports and builds it. ``handle.method.remote(...)`` then reads as on any Ray actor.
"""

from __future__ import annotations

import importlib
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayActorError, RayError

from r1ray.config.specs import PartSpec
from r1ray.errors import SandboxUnavailable, UserError

LOG_LINES, LOG_WIDTH = 12, 300
Ref = Any  # ObjectRef[tuple[Trajectory, ...]]; Ray's own types are not generic over actor methods


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


@dataclass(frozen=True, slots=True)
class Parts:
    """The other parts of an object that is spread over nodes: their class by its path, and ``ray.remote``'s options of
    each. Its method ``work`` makes it take part, and returns when it can no more."""

    path: str
    options: Sequence[dict[str, Any]]


class SpreadHost(AsyncHost):
    """Hosts part 0 of an object that is spread over nodes. It starts the actors of the other parts, which Ray ends with
    this one, their owner; and it ends with any of them. Who has its handle sees one actor."""

    def __init__(self, path: str, parts: Parts, *arguments: Any) -> None:
        """Raises what a part finds wrong before they join."""
        place = address_and_port()
        others = [
            host(parts.path, *arguments, PartSpec(rank, *place), **options)
            for rank, options in enumerate(parts.options, 1)
        ]
        importlib.import_module(path.partition(":")[0])  # they import it at the same time
        try:
            ray.get([part.alive() for part in others])
        except RayActorError as error:
            if mistake := mistake_of(error):
                raise mistake from error
            # Not raised: the owner of an actor that was never created would wait for it while it ends.
            _end(error)
        threading.Thread(target=_end_with_any, args=(others,), daemon=True).start()
        super().__init__(path, *arguments, PartSpec(0, *place))


def mistake_of(error: RayActorError) -> Exception | None:
    """The user's mistake for which an actor could not be built; None where it was something else."""
    reason = str(error).strip().splitlines()[-1]
    for mistake in (UserError, SandboxUnavailable):
        name = f"{mistake.__module__}.{mistake.__name__}: "
        if reason.startswith(name):
            return mistake(reason.removeprefix(name))
    return None


def _end_with_any(parts: Sequence[Handle]) -> None:
    """End this process when a part has ended; calls to it then fail, where they would wait for what never comes."""
    ended, _ = ray.wait([part.work.remote() for part in parts], num_returns=1)
    try:
        ray.get(ended[0])
    except RayError as error:
        _end(error)
    _end("its workers ended")


def _end(reason: object) -> NoReturn:
    print(f"a part of this engine, on another node, is lost: {reason}", file=sys.stderr, flush=True)
    os._exit(1)


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


def host(
    path: str, *arguments: Any, concurrency: int | None = None, parts: Parts | None = None, **options: Any
) -> Handle:
    """Start an actor that builds ``package.module:Class`` with ``arguments``.

    Args:
        concurrency: calls at a time of an object with async methods; None for one whose methods block.
        parts: of an object with async methods that is spread over nodes; each part gets a PartSpec as last argument.
        options: of ``ray.remote``: resources, scheduling strategy, runtime environment.
    """
    if parts is not None:
        return Handle(ray.remote(max_concurrency=concurrency, **options)(SpreadHost).remote(path, parts, *arguments))
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
