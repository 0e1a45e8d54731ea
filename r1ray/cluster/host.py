"""Plain classes as Ray actors, imported only where they run.

The driver never imports vLLM, DeepSpeed or torch (20 s of start-up): it names a class by its path, and the host
actor imports and builds it. ``handle.method.remote(...)`` then reads as on any Ray actor.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import re
import socket
import sys
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayActorError, RayError

from r1ray.config.specs import EngineShardSpec
from r1ray.errors import EngineLost, SandboxUnavailable, UserError
from r1ray.runtime import events
from r1ray.runtime.activity import begin, end, waiting
from r1ray.runtime.actor_status import read_told, status_of
from r1ray.runtime.causes import cause_in, end_of
from r1ray.runtime.events import Kind, doing
from r1ray.runtime.imports import load
from r1ray.runtime.own_process import join, name_in, note_error, one_line, own, part_of
from r1ray.runtime.remote_code import environment
from r1ray.runtime.scratch import enter

LOG_LINES, LOG_WIDTH = 12, 300
ENDLESS = frozenset({"until_dead", "troubles", "work", "begin"})
"""Methods that return when something ends; no work."""
KINDS: dict[str, Kind] = {
    **dict.fromkeys(("score", "ask", "value", "step_scores"), "score"),
    **dict.fromkeys(("fetch", "train", "refresh_reference"), "learn"),
    **dict.fromkeys(("load", "update_weights", "finish_weight_update", "load_snapshot"), "load"),
    **dict.fromkeys(("send_weights", "logprobs"), "publish"),
    **{"generate": "generate", "evaluate": "evaluate", "save": "save", "export": "export", "write": "record"},
}
"""Calls that the timeline of a run shows, by the name of the method."""


def _build(path: str, arguments: tuple[Any, ...]) -> Any:
    name = path.rpartition(":")[2]
    with waiting(f"its start ({name})", kind="work"), doing("start"):
        enter()
        join()
        return load(path)(*arguments)


def _described(method: str, arguments: tuple[Any, ...]) -> str:
    """Return a call for people: ``generate 0/8-3``, by what its first argument is called."""
    first = arguments[0] if arguments else None
    name = getattr(first, "id", None) or getattr(first, "group_id", None)
    return f"{method} {name}" if isinstance(name, str) else method


@contextmanager
def _working(method: str, arguments: tuple[Any, ...]) -> Iterator[None]:
    """Note a call for as long as this process works on it: as its work now, and in the run's timeline."""
    kind = KINDS.get(method)
    if method == "generate" and getattr(arguments[0], "is_eval", False):
        kind = "evaluate"
    work = None if method in ENDLESS else begin("work", _described(method, arguments))
    if kind is not None:
        events.begin(kind)
    try:
        yield
    finally:
        if kind is not None:
            events.end(kind)
        if work is not None:
            end("work", work)


def _note_log(error: Exception) -> None:
    """Add the end of this actor's log to what it raises. Engines report the death of a subprocess with a hint to a
    stack trace that only the log has."""
    lines = end_of(Path(os.readlink("/proc/self/fd/2")))[-LOG_LINES:]
    error.add_note("\n".join(["the end of this actor's log:", *(line[:LOG_WIDTH] for line in lines)]))


BULK = frozenset({"generate", "run", "sample", "score", "classes", "ask", "step_scores", "value", "enter", "step"})
"""Methods of which thousands of calls are under way. Every other one has a concurrency group of its own, so that a
pause, an abort or a question never waits behind them."""
BULK_CALLS, CONTROL_CALLS = 100_000, 256


class AsyncHost:
    """Hosts an object whose methods are coroutines; many calls at a time."""

    def __init__(self, path: str, *arguments: Any) -> None:
        self._loop = asyncio.get_event_loop()
        self._hosted = _build(path, arguments)

    async def call(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        with _working(method, arguments):
            try:
                return await getattr(self._hosted, method)(*arguments, **keywords)
            except Exception as error:
                note_error(error)
                _note_log(error)
                if isinstance(error, EngineLost) and (cause := _cause_of_engine()):
                    raise EngineLost(f"{error}; {cause}") from error
                raise

    async def bulk(self, packed: bytes) -> bytes:
        """Call a method of which thousands of calls are under way. Method, arguments and answer are pickled here: Ray
        pickles each argument by itself, and slowly, because it takes objects too that no module holds."""
        method, arguments, keywords = pickle.loads(packed)
        return pickle.dumps(await self.call(method, *arguments, **keywords), protocol=5)

    @ray.method(concurrency_group="control")  # type: ignore[untyped-decorator]
    async def control(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        """Call a method that does not wait behind others. Ray gives a concurrency group a thread and an event loop of
        its own; the object lives in one."""
        called = asyncio.run_coroutine_threadsafe(self.call(method, *arguments, **keywords), self._loop)
        return await asyncio.wrap_future(called)


@dataclass(frozen=True, slots=True)
class EngineShards:
    """The other parts of an object that is spread over nodes: their class by its path, and ``ray.remote``'s options of
    each. Its method ``work`` makes it take part, and returns when it can no more."""

    path: str
    options: Sequence[dict[str, Any]]


class SpreadHost(AsyncHost):
    """Hosts part 0 of an object that is spread over nodes. It starts the actors of the other parts, which Ray ends with
    this one, their owner; and it ends with any of them. Who has its handle sees one actor."""

    def __init__(self, path: str, parts: EngineShards, *arguments: Any) -> None:
        """Raises what a part finds wrong before they join."""
        join()
        place = address_and_port()
        others = [
            host(parts.path, *arguments, EngineShardSpec(rank, *place), **options)
            for rank, options in enumerate(parts.options, 1)
        ]
        load(path)  # they import it at the same time
        try:
            ray.get([part.alive() for part in others])
        except RayActorError as error:
            if mistake := mistake_of(error):
                raise mistake from error
            # Not raised: the owner of an actor that was never created would wait for it while it ends.
            _end(error)
        threading.Thread(target=_end_with_any, args=(others,), daemon=True).start()
        super().__init__(path, *arguments, EngineShardSpec(0, *place))


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
        with _working(method, arguments):
            try:
                return getattr(self._hosted, method)(*arguments, **keywords)
            except Exception as error:
                note_error(error)
                raise


def _cause_of_engine() -> str:
    """Return why the engine core of this process failed, by its log."""
    process = own()
    if process is None:
        return ""
    log = process.log.with_name(f"{part_of(process.name, '')}.log")
    core = read_told(log.with_suffix(".json"))
    if cause := cause_in(log):
        return f"its engine core: {cause}; log: {log}"
    return f"its engine core was killed; log: {log}" if core is not None and status_of(core).state == "dead" else ""


def cause_of(error: RayError) -> str:
    """Return why a call failed, in a line: what it raised, or which actor died of what, by the last error in its log or
    by what Ray knows."""
    if not isinstance(error, RayActorError):
        return one_line(getattr(error, "cause", None) or error)
    text = str(error)
    known = dict(re.findall(r"^\s*(class_name|pid|ip): (\S+)$", text, re.MULTILINE))
    detail = re.search(r"(?:The actor is dead because |exit detail: )(.*)", text)
    why = (detail[1] if detail else text.strip().partition("\n")[0]).strip()
    process = own()
    if process is None or "class_name" not in known:
        return why
    log = process.log.parent / f"{known['class_name']}.log"
    place = f"process {known.get('pid', '?')} on {known.get('ip', '?')}"
    return f"{known['class_name']} ({place}) died: {cause_in(log) or why}; its log: {log}"


@dataclass(frozen=True, slots=True)
class BulkAnswer:
    """The answer of a method of which thousands of calls are under way; to be awaited, once."""

    packed: Any  # ObjectRef[bytes]
    whom: str
    what: str

    def __await__(self) -> Generator[Any, None, Any]:
        call = begin("call", self.whom, self.what)
        try:
            return pickle.loads((yield from self.packed.__await__()))
        finally:
            end("call", call)


@dataclass(frozen=True, slots=True)
class Method:
    """One method of a hosted object."""

    actor: ActorHandle
    name: str
    kind: Literal["call", "control", "bulk"]
    whom: str
    """The actor's name."""

    def remote(self, *arguments: Any, **keywords: Any) -> Any:
        """Call it; returns an ObjectRef, or a BulkAnswer where calls are many. Those take no references and no handles
        among their ``arguments``."""
        if self.kind == "bulk":
            packed = pickle.dumps((self.name, arguments, keywords), protocol=5)
            return BulkAnswer(self.actor.bulk.remote(packed), self.whom, _described(self.name, arguments))
        call = self.actor.control if self.kind == "control" else self.actor.call
        return call.remote(self.name, *arguments, **keywords)


class Handle:
    """A hosted object, seen from elsewhere: ``handle.method.remote(...)``."""

    def __init__(self, actor: ActorHandle, *, is_async: bool = False, name: str = "") -> None:
        """``name``: of its process, as messages have it."""
        self.actor, self._is_async, self._name = actor, is_async, name or "an actor"

    def __getattr__(self, name: str) -> Method:
        if name.startswith("_") or name == "actor":
            raise AttributeError(name)
        if not self._is_async:
            return Method(self.actor, name, "call", self._name)
        return Method(self.actor, name, "bulk" if name in BULK else "control", self._name)

    def __eq__(self, other: object) -> bool:
        """Return whether both are handles of the same actor, wherever they came from."""
        return isinstance(other, Handle) and self.actor == other.actor

    def __hash__(self) -> int:
        return hash(self.actor)

    def __reduce__(self) -> tuple[Any, tuple[ActorHandle, bool, str]]:
        return _handle, (self.actor, self._is_async, self._name)

    def alive(self) -> Any:
        """An ObjectRef that is ready once the object is built; it raises what the constructor raised."""
        return self.actor.__ray_ready__.remote()

    def kill(self) -> None:
        ray.kill(self.actor)

    def start_again(self) -> None:
        """Kill the process of an actor that Ray starts again."""
        ray.kill(self.actor, no_restart=False)


def _handle(actor: ActorHandle, is_async: bool, name: str) -> Handle:
    return Handle(actor, is_async=is_async, name=name)


def start_as(kind: type, *arguments: Any, is_async: bool = False, **options: Any) -> Handle:
    """Start an actor of a class of this module's kind, under the name that its environment holds: Ray shows an actor's
    class in its lists, and in ``ps``."""
    name = name_in(options.get("runtime_env", {}).get("env_vars", {}))
    own_kind = type(name, (kind,), {"__module__": kind.__module__}) if name else kind
    return Handle(ray.remote(**options)(own_kind).remote(*arguments), is_async=is_async, name=name)


def host(
    path: str, *arguments: Any, is_async: bool = False, parts: EngineShards | None = None, **options: Any
) -> Handle:
    """Start an actor that builds ``package.module:Class`` with ``arguments``.

    Args:
        is_async: its methods are coroutines, and any number of calls is under way at a time; else its methods block,
            and are called one after the other.
        parts: of an object with async methods that is spread over nodes; each shard gets an EngineShardSpec last.
        options: of ``ray.remote``: resources, scheduling strategy, runtime environment.
    """
    if not is_async and parts is None:
        return start_as(BlockingHost, path, *arguments, **options)
    many = {"max_concurrency": BULK_CALLS, "concurrency_groups": {"control": CONTROL_CALLS}}
    kind, first = (SpreadHost, (path, parts)) if parts is not None else (AsyncHost, (path,))
    return start_as(kind, *first, *arguments, is_async=True, **many, **options)


def import_path() -> dict[str, str]:
    """The environment that lets an actor import what this process can: a user's own reward functions are where the
    command was given. (A job's working directory has another path on every node; Ray puts each node's own before.)"""
    path = os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH")]))
    return {"PYTHONPATH": path, **environment()}


def address_and_port() -> tuple[str, int]:
    """The address of the node that this is called on, and a free port of it."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return ray.util.get_node_ip_address(), int(probe.getsockname()[1])
