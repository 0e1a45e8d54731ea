"""Killing what has a mark, stopped or orphaned, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from r1ray.cluster.killing import MARK, kill_marked

SLEEP = "import time; print(1, flush=True); time.sleep(600)"
PARENT = (
    f"import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', {SLEEP!r}]); print(child.pid, flush=True)"
)


def started(program: str, mark: str) -> subprocess.Popen[str]:
    env = os.environ | {MARK: mark}
    process = subprocess.Popen([sys.executable, "-c", program], env=env, stdout=subprocess.PIPE, text=True)
    return process


@pytest.mark.faults
def test_marked_processes_end_whether_they_are_stopped_or_orphans() -> None:
    stopped, other, parent = started(SLEEP, "mine"), started(SLEEP, "mine too"), started(PARENT, "mine")
    try:
        for each in (stopped, other):
            assert each.stdout is not None and each.stdout.readline() == "1\n"
        assert parent.stdout is not None
        # The line of the orphan itself, too: while it is being executed it has no environment yet.
        orphan = max(int(parent.stdout.readline()), int(parent.stdout.readline()))
        parent.wait(timeout=30)
        os.kill(stopped.pid, signal.SIGSTOP)
        assert kill_marked("mine") == 2
        assert stopped.wait(timeout=30) == -signal.SIGKILL
        assert other.poll() is None
        until = time.monotonic() + 30.0  # the orphan is killed, and ends when its turn comes
        while os.path.exists(f"/proc/{orphan}/exe") and time.monotonic() < until:
            time.sleep(0.01)
        assert kill_marked("mine") == 0
    finally:
        for each in (stopped, other, parent):
            each.kill()
            each.communicate()
