"""A gate in a phase of a run: whoever comes to it first waits there, until a fault was caused.

    test: want("learning") --> folder/learning.wanted --> hold("learning") in a process of the run
          reached?         <-- folder/learning.reached, with its pid; removed: the process goes on

The folder is the one that ``FAULTS`` names in the environment of the run. Files that users name in a configuration have
the gates in them: a surrogate, a reward function, a logits processor of vLLM (``doors_*.py``).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

FOLDER = "FAULTS"
LONGEST_S = 30.0
"""A gate that nobody opens opens by itself."""
POLL_S = 0.02
PACE, ENDS = "pace", "ends"
USUAL_S, SLOW_S = 0.5, 5.0
"""Paces: the second one while a role is on its way back, which needs the cores meanwhile."""


def hold(phase: str) -> None:
    """Wait here, if this phase is wanted and nobody waits there yet."""
    for _ in _waits(phase):
        time.sleep(POLL_S)


async def hold_async(phase: str) -> None:
    """Do the same where others go on meanwhile."""
    for _ in _waits(phase):
        await asyncio.sleep(POLL_S)


def _waits(phase: str) -> Iterator[None]:
    wanted, reached = (Path(os.environ[FOLDER]) / f"{phase}.{end}" for end in ("wanted", "reached"))
    try:
        wanted.rename(reached)
    except FileNotFoundError:
        return
    until = time.monotonic() + LONGEST_S
    while reached.exists() and time.monotonic() < until:
        yield


class Gates:
    """The gates of a run, as the test sees them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.pace(USUAL_S)

    def want(self, phase: str) -> None:
        """Have whoever comes to this phase next wait there."""
        (self.folder / f"{phase}.wanted").touch()

    def is_reached(self, phase: str) -> bool:
        """Return whether somebody waits there."""
        return (self.folder / f"{phase}.reached").exists()

    def open(self, phase: str) -> None:
        """Let them go on, and have nobody wait there any more."""
        for end in ("wanted", "reached"):
            (self.folder / f"{phase}.{end}").unlink(missing_ok=True)

    def end(self) -> None:
        """Have the run end within some steps. Until then it goes on, however slow the machine is."""
        (self.folder / ENDS).touch()

    def pace(self, seconds: float) -> None:
        """Have every step take so long, and what it needs."""
        (self.folder / PACE).write_text(f"{seconds}")
