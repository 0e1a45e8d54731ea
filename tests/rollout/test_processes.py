"""Processes below one that were stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from r1ray.rollout.processes import processes_below, stopped
from tests.real.running import wait_until


@pytest.mark.faults
def test_a_stopped_process_is_found_and_one_that_ended_is_none() -> None:
    sleeping = [subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) for _ in range(2)]
    try:
        found = processes_below()
        assert {each.pid for each in found} >= {each.pid for each in sleeping}
        assert stopped(found) == set()
        os.kill(sleeping[0].pid, signal.SIGSTOP)
        wait_until(lambda: stopped(found) == {sleeping[0].pid}, timeout_s=10, what="the stop")
        sleeping[1].kill()
        sleeping[1].wait()
        assert stopped(found) == {sleeping[0].pid}
    finally:
        for each in sleeping:
            each.kill()
            each.wait()
