"""Memory and processes of a command with all that it started, as the kernel says them to its worker: behind walls as
without them.

It is looked at again and again, since no limit of the kernel's holds for a tree of processes without cgroups, which
many a container has none of.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from r1ray.config.environment import AgentsConfig

LOOK_S = 0.5
"""Between two looks: so long an agent may be over a limit."""
PAGE = os.sysconf("SC_PAGE_SIZE")
KEY = "environment.agents"


async def over_limit(root: int, limits: AgentsConfig, *, num_own: int) -> str:
    """Return which limit the processes below ``root`` are over, in words, once they are.

    Args:
        num_own: processes, ``root`` among them, that are its guard's.
    """
    while True:
        await asyncio.sleep(LOOK_S)
        pids = tree(root)
        if (count := len(pids) - num_own) > limits.processes:
            return f"it had {count} processes, more than {KEY}.processes={limits.processes}"
        # What processes share counts once in the exact figure, which takes long.
        if memory_mib(pids) > limits.memory_mib and (used := exact_mib(pids)) > limits.memory_mib:
            return f"it had {used:.0f} MiB of memory, more than {KEY}.memory_mib={limits.memory_mib}"


def tree(root: int) -> list[int]:
    """Return a process and all below it, as far as they are still there."""
    found = [root]
    for pid in found:
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{pid}/task"):
                found += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
    return found


def memory_mib(pids: Sequence[int]) -> float:
    """Return the memory of processes that they do not share with files; what they share with each other counts again
    for each."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError, ValueError):
            _, resident, shared = Path(f"/proc/{pid}/statm").read_text().split()[:3]
            total += int(resident) - int(shared)
    return total * PAGE / (1 << 20)


def exact_mib(pids: Sequence[int]) -> float:
    """Return the memory of processes, what several share divided among them; as :func:`memory_mib` has it for those of
    which the kernel does not tell that."""
    total = 0.0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith(("Pss_Anon:", "Pss_Shmem:"))) / 1024
        except (OSError, ValueError, IndexError):
            total += memory_mib([pid])
    return total
