"""The processes under this one: an engine's core and its workers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import psutil


def processes_below() -> list[psutil.Process]:
    """Return those that this process has started, and those that they have. (It reads of every process of the
    machine: not to be called often.)"""
    found: list[psutil.Process] = psutil.Process().children(recursive=True)
    return found


def stopped(processes: Sequence[psutil.Process]) -> set[int]:
    """Return the ids of those that were stopped (SIGSTOP): they answer nobody, and do not end."""
    found = set()
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.status() == psutil.STATUS_STOPPED:
                found.add(process.pid)
    return found
