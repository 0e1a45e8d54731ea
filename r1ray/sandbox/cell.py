"""The result of a cell, and the sentence that says why a session ended."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Literal

from r1ray.sandbox.session_slot import FILES_OF_QUOTA, SessionLimits

Ended = Literal["done", "raised", "cpu", "wall", "lost"]


@dataclass(frozen=True, slots=True)
class Cell:
    """The result of one cell."""

    ended: Ended
    """``done``; ``raised``: ended by an exception; ``cpu``, ``wall``: interrupted at that time limit, with the state
    kept; ``lost``: the session ended with the cell."""
    output: str
    """Text that the cell printed, its last value and its traceback, as at a terminal."""
    why: str = ""
    """A sentence that says why the session ended."""


def why_lost(status: int, up: str, is_over_quota: bool, limits: SessionLimits) -> str:
    """Return a sentence that says how a process ended. It contains nothing that the process itself reported."""
    if is_over_quota:
        return f"it wrote more files than it may: {FILES_OF_QUOTA * limits.file_kib} KiB in all"
    if status == -signal.SIGXCPU:
        return f"all its cells together had computed for {limits.total_cpu_s:g} s"
    if up:
        spent = f"computed for {limits.cpu_s:g} s" if up == "cpu" else f"run for {limits.wall_s:g} s"
        return f"a cell had {spent}, and could not be interrupted"
    if status == -signal.SIGKILL:
        return "it was killed, most likely for the memory that it used"
    return f"its process ended ({f'signal {-status}' if status < 0 else f'exit code {status}'})"
