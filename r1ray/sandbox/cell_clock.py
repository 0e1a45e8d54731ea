"""The clock of one cell, which decides when to interrupt the cell and when to end its process."""

from __future__ import annotations

import contextlib
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol

from r1ray.errors import MachineTooBusy
from r1ray.sandbox.inside.process_times import computed_s, pid_of, queued_s
from r1ray.sandbox.session_slot import SessionLimits

AGAIN_S = 1.0
"""Processor time that an interrupted cell may use before it has to stop; its wall clock has three times that."""


class Times(Protocol):
    """Time that a process has used so far, in seconds."""

    def computed(self) -> float: ...

    def queued(self) -> float: ...


class ProcessTimes:
    """Times and memory of a process, as the kernel reports them. A process that is gone uses nothing more."""

    def __init__(self, pidfd: int) -> None:
        """Raises OSError if the process is gone."""
        self._pidfd, self._last = pidfd, 0.0
        proc = _proc()
        try:
            self._pid = pid_of(proc, pidfd)
        finally:
            os.close(proc)

    def computed(self) -> float:
        with contextlib.suppress(OSError):
            self._last = computed_s(self._pid)
        return self._last

    def memory_mib(self) -> float:
        """Return the memory that is not shared with files. Memory shared with the process's parent counts."""
        try:
            _, resident, shared = Path(f"/proc/{self._pid}/statm").read_text().split()[:3]
        except (OSError, ValueError):
            return 0.0
        return (int(resident) - int(shared)) * resource.getpagesize() / (1 << 20)

    def queued(self) -> float:
        proc = _proc()
        try:
            return queued_s(proc, self._pidfd)[0]
        finally:
            os.close(proc)


class CellClock:
    """Clock of one cell. Processor time is the process's own. The wall clock leaves out the time that the process
    waited for a core, so that a busy machine costs no cell its time."""

    def __init__(self, limits: SessionLimits, times: Times, now: Callable[[], float] = time.monotonic) -> None:
        self.up: Literal["", "cpu", "wall"] = ""
        """The limit that the cell has reached."""
        self._times, self._now = times, now
        self._cpu_s, self._wall_s, self._longest_s = limits.cpu_s, limits.wall_s, limits.longest_s
        self._started, self._computed, self._queued = now(), times.computed(), times.queued()

    def look(self) -> Literal["go on", "interrupt", "end"]:
        """Raises MachineTooBusy."""
        elapsed, computed = self._now() - self._started, self._times.computed() - self._computed
        ran = elapsed
        if elapsed >= self._wall_s:  # threads that queue behind each other compute meanwhile
            ran -= self._times.queued() - self._queued
        if computed < self._cpu_s and ran < self._wall_s:
            if elapsed > self._longest_s:
                raise MachineTooBusy(
                    f"this machine is too busy: a cell computed for {computed:.1f} s in {elapsed:.0f} s"
                )
            return "go on"
        if self.up:
            return "end"
        self.up = "cpu" if computed >= self._cpu_s else "wall"
        self._cpu_s, self._wall_s = computed + AGAIN_S, ran + 3 * AGAIN_S
        return "interrupt"


def _proc() -> int:
    return os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
