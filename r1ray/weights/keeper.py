"""Who owns the memory of a snapshot: a process beside the learner, which outlives its ranks, and ends with the run."""

from __future__ import annotations

import os

NUM_FILES = 2


class SnapshotKeeper:
    """Two files without a name: they need no room in /dev/shm (64 MiB in a container), and are gone with this process
    and those that map them, however it ends."""

    def __init__(self) -> None:
        self._files = [os.memfd_create(f"r1ray-snapshot-{number}") for number in range(NUM_FILES)]

    def paths(self) -> list[str]:
        """Return where other processes of this node open them."""
        return [f"/proc/{os.getpid()}/fd/{file}" for file in self._files]
