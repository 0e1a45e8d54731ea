"""Times for which a process has computed and has waited for a core. A process's own clock is not available in another
way, and nothing that the process does changes it."""

from __future__ import annotations

import os
import time

from r1ray.sandbox.inside.wire import read_at


def pid_of(proc: int, pidfd: int) -> int:
    """Return the number of a process in this /proc. Raises ProcessLookupError if the process is gone."""
    info = read_at(proc, f"self/fdinfo/{pidfd}")
    found = int(next(line.split()[1] for line in info.splitlines() if line.startswith("Pid:")))
    if found < 1:
        raise ProcessLookupError(f"no process of descriptor {pidfd}")
    return found


def queued_s(proc: int, pidfd: int) -> tuple[float, float]:
    """Return the longest time that a thread of a process waited for a core, and the time that all its threads computed,
    in seconds. The wait is infinite if the kernel does not report it. ``proc``: the supervisor's /proc, since a process
    namespace has none."""
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
    """Return the processor time of a process in seconds, including threads that have ended. Raises OSError if the
    process is gone."""
    return time.clock_gettime(~pid << 3 | 2)  # the kernel's number of a process's own clock
