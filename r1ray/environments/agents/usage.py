"""Memory and processes of a command with all that it started, as the kernel says them to its worker: behind walls as
without them.

It is looked at again and again: the kernel limits a tree of processes by cgroups alone, and in many a container none
can be made.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from r1ray.config.environment import AgentsConfig

LOOK_S = 0.5
"""Between two looks: so long an agent may be over a limit."""
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
        try:
            tasks = os.listdir(f"/proc/{pid}/task")
        except OSError:
            continue
        for task in tasks:
            found += map(int, _read(f"/proc/{pid}/task/{task}/children").split())
    return found


def memory_mib(pids: Sequence[int]) -> float:
    """Return the memory of processes that they do not share with files; what they share with each other counts again
    for each."""
    return sum(_mib_in(f"/proc/{pid}/status", (b"RssAnon:", b"RssShmem:", b"VmSwap:")) or 0.0 for pid in pids)


def exact_mib(pids: Sequence[int]) -> float:
    """Return the memory of processes, what several share divided among them; as :func:`memory_mib` has it for those of
    which the kernel does not tell that."""
    total = 0.0
    for pid in pids:
        exact = _mib_in(f"/proc/{pid}/smaps_rollup", (b"Pss_Anon:", b"Pss_Shmem:", b"SwapPss:"))
        total += memory_mib([pid]) if exact is None else exact
    return total


def _mib_in(path: str, names: tuple[bytes, ...]) -> float | None:
    """Return the sum of lines of the kernel's, ``Name:  12 kB``; None where the process is gone, or not to be read."""
    lines = _read(path).splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(names)) / 1024 if lines else None


def _read(path: str) -> bytes:
    """Return a file of the kernel's; empty where there is none, or it may not be read. A Path would take three times as
    long, and an agent of ten threads has a dozen such files."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.readall()
    except OSError:
        return b""
