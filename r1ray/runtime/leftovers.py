"""Removal of what a command leaves on a node: processes, the scratch folder, and files of shared memory.

Run as a program it is the watch of a command: it waits until that ends, however it does, and removes what is left. It
needs the standard library alone, and takes 20 ms to start.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

VARIABLE = "R1RAY_SCRATCH"
"""The variable of the environment that holds a command's scratch folder, in every process of it but the driver."""
SHARED_MEMORY = Path("/dev/shm")
GONE_S = 10.0
"""Longest wait for killed processes to be gone."""
DONE = b"done"
"""Message to the watch where the command has removed everything itself."""


def kill_with(variable: str, value: str) -> int:
    """Kill the processes of this node that have a variable of this value in their environment, stopped ones too, but
    for this one. Returns how many."""
    return _kill(lambda process: _has(process, variable, value))


def _kill(is_meant: Callable[[Path], bool]) -> int:
    """Kill the processes of this node that are meant, but for this one. Returns how many.

    Args:
        is_meant: gets the folder of a process in ``/proc``.
    """
    killed = 0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended, or is somebody else's
            if int(process.name) != os.getpid() and is_meant(process):
                os.kill(int(process.name), signal.SIGKILL)
                killed += 1
    return killed


def _has(process: Path, variable: str, value: str) -> bool:
    return f"{variable}={value}".encode() in (process / "environ").read_bytes().split(b"\0")


def _is_renamed(process: Path, folder: Path) -> bool:
    """Tell if the title of a process stands where its environment began, as that of Ray's agents, and it has a file of
    a folder open."""
    return (process / "environ").read_bytes()[:1] == b"\0" and any(
        Path(os.readlink(each)).is_relative_to(folder) for each in (process / "fd").iterdir()
    )


def kill_all_with(variable: str, value: str, *, longest_s: float = GONE_S) -> None:
    """Kill such processes until there are none: until then they may start others."""
    _until(lambda: not kill_with(variable, value), longest_s)


def clear(folder: Path) -> None:
    """Kill what still runs of a command, and remove its scratch folder and its files of shared memory."""
    _until(lambda: not _kill(lambda process: _has(process, VARIABLE, str(folder)) or _is_renamed(process, folder)))
    # vLLM calls memory that its workers on CPUs share after the file over which they meet.
    names = [f"*{folder.name}-*", *(f"{path.name}-*" for path in folder.glob("vllm_dist_*"))]
    _until(lambda: _removed(folder))
    for name in names:
        for path in SHARED_MEMORY.glob(name):
            path.unlink(missing_ok=True)


def _removed(folder: Path) -> bool:
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def _until(condition: Callable[[], bool], longest_s: float = GONE_S) -> None:
    end = time.monotonic() + longest_s
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)


def watch(folder: Path) -> None:
    """Wait for the end of the process that holds the other end of the standard input, and clear the folder."""
    if sys.stdin.buffer.read() != DONE:
        clear(folder)


if __name__ == "__main__":
    watch(Path(sys.argv[1]))
