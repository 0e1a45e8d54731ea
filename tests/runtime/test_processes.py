from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

from r1ray.runtime.processes import SILENT_S, ProcessId, own_process_id, state_of
from tests.runtime.children import child


def identity(pid: int) -> ProcessId:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return replace(own_process_id(), pid=pid, started=int(fields[19]))


def wait_for(state: str, process: ProcessId) -> None:
    deadline = time.monotonic() + 5
    while state_of(process) != state:
        assert time.monotonic() < deadline, f"{state_of(process)}, not {state}"
        time.sleep(0.01)


def test_a_process_runs_is_stopped_goes_on_and_is_dead() -> None:
    with child("import time; time.sleep(600)") as process:
        process_id = identity(process.pid)
        wait_for("running", process_id)
        os.kill(process.pid, signal.SIGSTOP)
        wait_for("stopped", process_id)
        os.kill(process.pid, signal.SIGCONT)
        wait_for("running", process_id)
        process.kill()
        wait_for("dead", process_id)  # a zombie: nobody has waited for it yet
    assert state_of(process_id) == "dead"


def test_another_process_with_the_same_pid_is_not_the_one_that_was_meant() -> None:
    own = own_process_id()
    assert state_of(own) == "running"
    assert state_of(replace(own, started=own.started - 1)) == "dead"


def test_of_another_nodes_process_its_silence_alone_counts() -> None:
    elsewhere = replace(own_process_id(), space="another boot/pid:[1]", pid=2**22)
    assert state_of(elsewhere, silent_s=1.0) == "running"
    assert state_of(elsewhere, silent_s=SILENT_S + 1) == "silent"
