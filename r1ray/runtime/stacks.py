"""Stacks of live processes: each writes its own to its log when it gets a signal.

``faulthandler`` does that in the signal's handler, whatever the process is doing, and needs no permission to trace,
which containers lack.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

SIGNAL = signal.SIGUSR1
"""Free in Ray's workers, vLLM's processes, DeepSpeed and torch (Ray Tune alone takes it)."""
WAIT_S = 3.0
QUIET_S = 0.3
POLL_S = 0.05


def answer_in(log: int | IO[str]) -> None:
    """Have this process write the stacks of all its threads to a file, which stays open, on the signal."""
    faulthandler.register(SIGNAL, file=log, all_threads=True)


def ask_for_stacks(logs: Mapping[int, Path]) -> dict[int, str]:
    """Signal processes, and return what each wrote to its log, by pid; empty for one that wrote nothing. They have to
    have called :func:`answer_in`: the signal ends a process that has not."""
    before = {pid: _size(path) for pid, path in logs.items()}
    for pid in logs:
        with suppress(ProcessLookupError):
            os.kill(pid, SIGNAL)
    deadline, sizes, quiet_since = time.monotonic() + WAIT_S, dict(before), time.monotonic()
    while (now := time.monotonic()) < deadline:
        latest = {pid: _size(path) for pid, path in logs.items()}
        if latest != sizes:
            sizes, quiet_since = latest, now
        elif now - quiet_since > QUIET_S and all(sizes[pid] > before[pid] for pid in logs):
            break
        time.sleep(POLL_S)
    return {pid: _written(path, before[pid]) for pid, path in logs.items()}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _written(path: Path, start: int) -> str:
    """Return what a log has from a place on, beginning with the first stack."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    found = [at for mark in ("Thread 0x", "Current thread 0x") if (at := text.find(mark)) >= 0]
    return text[min(found) :].rstrip() if found else ""
