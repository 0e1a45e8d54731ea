"""The process of a learner rank, or of the rollout log: one call at a time, and questions that it answers beside
them."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psutil
import ray

from r1ray.cluster.host import BlockingHost, Handle, start_as


@dataclass(frozen=True, slots=True)
class Place:
    """A process, wherever it runs."""

    node: str
    """Ray's id of it."""
    address: str
    pid: int
    started: float
    """Unix seconds, by the clock of its node: another process may get the same pid later."""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.address}"


class RankHost(BlockingHost):
    """Hosts a rank whose methods block. A thread of its own answers whether the process lives."""

    def keep(self, method: str, *arguments: Any) -> list[Any]:
        """Call a method, and keep what it returns in this node's object store. Returns a list of the reference to it:
        who has asked for the call, as the driver has, gets nothing of what it is about."""
        return [ray.put(self.call(method, *arguments))]

    @ray.method(concurrency_group="control")  # type: ignore[untyped-decorator]
    def place(self) -> Place:
        """Say where this process is; a process that is stopped does not."""
        context = ray.get_runtime_context()
        started = psutil.Process().create_time()
        return Place(context.get_node_id(), ray.util.get_node_ip_address(), os.getpid(), started)

    @ray.method(concurrency_group="control")  # type: ignore[untyped-decorator]
    def until_dead(self) -> None:
        """Return never; the call fails when the process ends."""
        threading.Event().wait()


def rank_host(path: str, *arguments: Any, **options: Any) -> Handle:
    """Start an actor that builds ``package.module:Class`` with ``arguments``; ``options`` as of ``ray.remote``."""
    groups = {"control": 4}
    return start_as(RankHost, path, *arguments, concurrency_groups=groups, **options)


def kill_process(place: Place) -> None:
    """Kill a process of this node. Ray's own kill waits for several seconds where a process is stopped, and keeps its
    place so long."""
    with suppress(psutil.NoSuchProcess, ProcessLookupError):
        if psutil.Process(place.pid).create_time() == place.started:
            os.kill(place.pid, signal.SIGKILL)
