"""Processes by what /proc says of them: which one a pid means, and whether it runs, is stopped or is dead."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

State = Literal["running", "stopped", "dead", "silent", "ended"]
"""``silent``: of a process on another node, whose /proc cannot be read here, which has written nothing for a while.
``ended``: of a driver that has said how."""
SILENT_S = 30.0
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process, also after its pid was given to another one."""

    node: str
    """The name of its host."""
    pid: int
    started: int
    """Clock ticks after the boot."""
    space: str
    """Boot and namespace of process ids: ``pid`` means the process where both are the same."""

    @property
    def is_here(self) -> bool:
        """Return whether this process can see that one in /proc, if it lives."""
        return self.space == own_space()


def own_process_id() -> ProcessId:
    """Return what others know this process by."""
    stat = _stat(os.getpid())
    assert stat is not None
    return ProcessId(socket.gethostname(), os.getpid(), stat[1], own_space())


def state_of(process: ProcessId, *, silent_s: float = 0.0) -> State:
    """Return the state of a process. ``silent_s``: how long it has written nothing, which alone counts for a process
    of another node."""
    if not process.is_here:
        return "silent" if silent_s > SILENT_S else "running"
    stat = _stat(process.pid)
    if stat is None or stat[1] != process.started or stat[0] in "ZX":
        return "dead"
    return "stopped" if stat[0] in "Tt" else "running"


@lru_cache(maxsize=1)
def own_space() -> str:
    """Return boot and process namespace of this process."""
    return f"{BOOT_ID.read_text().strip()}/{os.readlink('/proc/self/ns/pid')}"


def _stat(pid: int) -> tuple[str, int] | None:
    """Return state and start of a process; None if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may have spaces and brackets in it
    return fields[0], int(fields[19])
