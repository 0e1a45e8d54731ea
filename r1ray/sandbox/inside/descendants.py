"""Functions that end all descendants of a process: a zygote, or the guard of an agent's command. The guard sees no
other part of r1ray, so only the standard library is imported here.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time


def end_group(leader: int) -> None:
    """Kill a child and its process group. The kernel kills a whole group at once, so that not even a fork bomb escapes.
    The child has not been reaped yet, so no other process has its number."""
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError):
            kill(leader, signal.SIGKILL)


def drain(*, has_pids: bool) -> None:
    """Kill and reap every descendant, including orphans. This process is their subreaper, or the first process of its
    namespace."""
    own_group = os.getpgrp()
    while True:
        if has_pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(-1, signal.SIGKILL)
        else:
            for pid in _children():
                with contextlib.suppress(ProcessLookupError):
                    group = os.getpgid(pid)
                    end_group(pid if group == own_group else group)
                    os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.0005)


def _children() -> list[int]:
    me = os.getpid()
    with open(f"/proc/{me}/task/{me}/children") as source:
        return [int(word) for word in source.read().split()]
