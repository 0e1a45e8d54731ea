"""Times that a process has computed, and waited for a core. Its own clock cannot be had in another way, and
nothing that it does changes it."""

from __future__ import annotations

import os
import time

from r1ray.sandbox.inside.wire import read_at


def pid_of(proc: int, pidfd: int) -> int:
    """The number that a process has in this /proc. Raises ProcessLookupError where it is gone."""
    info = read_at(proc, f"self/fdinfo/{pidfd}")
    found = int(next(line.split()[1] for line in info.splitlines() if line.startswith("Pid:")))
    if found < 1:
        raise ProcessLookupError(f"no process of descriptor {pidfd}")
    return found


def queued_s(proc: int, pidfd: int) -> tuple[float, float]:
    """The longest that a thread of a process waited for a core, and what all its threads computed, in seconds; an
    endless wait where the kernel does not say. ``proc``: the supervisor's /proc: a process namespace has none."""
    try:
        pid = pid_of(proc, pidfd)
        folder = os.open(f"{pid}/task", os.O_RDONLY | os.O_DIRECTORY, dir_fd=proc)
        try:
            tasks = os.listdir(folder)
        finally:
            os.close(folder)
        times = [read_at(proc, f"{pid}/task/{task}/schedstat").split() for task in tasks]
        return max(int(time[1]) for time in times) / 1e9, sum(int(time[0]) for time in times) / 1e9
    except ProcessLookupError:
        return 0.0, 0.0
    except (OSError, StopIteration, IndexError, ValueError):
        return float("inf"), 0.0


def computed_s(pid: int) -> float:
    """Seconds of processor time of a process, of threads that have ended too. Raises OSError where it is gone."""
    return time.clock_gettime(~pid << 3 | 2)  # the kernel's number of a process's own clock
