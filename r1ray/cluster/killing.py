"""Killing an actor with all of its processes, on its node: those of an engine may be stopped, or outlive it."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

MARK = "R1RAY_ACTOR"
"""The environment variable that an actor's processes have in common, and no others."""


def kill_marked(mark: str) -> int:
    """Kill the processes of this node that have a mark, but for this one. Returns how many."""
    wanted, killed = f"{MARK}={mark}".encode(), 0
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended, or is somebody else's
            if wanted in (folder / "environ").read_bytes().split(b"\0") and int(folder.name) != os.getpid():
                os.kill(int(folder.name), signal.SIGKILL)
                killed += 1
    return killed
