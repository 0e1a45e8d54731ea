"""A device's memory, phase by phase: engines log their turns, and nvidia-smi is asked ten times a second."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

SAMPLED = ("nvidia-smi", "--query-gpu=timestamp,memory.used", "--format=csv,noheader,nounits", "--id=0", "-lms", "100")
TURN = re.compile(r"^(\S+ \S+) .*\b(asleep, at level|awake: weights|awake: kv_cache)", re.MULTILINE)
BEGINS = {"asleep, at level": "learn", "awake: weights": "publish", "awake: kv_cache": "generation"}
EDGE_S = 0.3
"""At the end of a phase, in which what comes next is there already: a turn is logged when it is over."""


@dataclass(frozen=True)
class Phase:
    """What went on between two turns."""

    name: str
    begin: float
    """Unix seconds."""
    end: float


def phases_of(log: str) -> list[Phase]:
    """Return the phases between the turns in an engine's log."""
    turns = [(_seconds(when, "%Y-%m-%d %H:%M:%S,%f"), BEGINS[what]) for when, what in TURN.findall(log)]
    return [Phase(name, begin, end) for (begin, name), (end, _) in pairwise(turns)]


def samples_of(table: str) -> list[tuple[float, float]]:
    """Return when nvidia-smi was asked, and the bytes in use."""
    rows = [line.split(", ") for line in table.splitlines() if line.count(", ") == 1]
    return [(_seconds(when, "%Y/%m/%d %H:%M:%S.%f"), float(mib) * 2**20) for when, mib in rows]


def peaks(phases: Sequence[Phase], samples: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Return the most bytes in use in the phases of each name, beyond those in use before all of them."""
    before = min(used for _, used in samples)
    found: dict[str, float] = {}
    for phase in phases:
        inside = [used - before for when, used in samples if phase.begin < when < phase.end - EDGE_S]
        found[phase.name] = max([found.get(phase.name, 0.0), *inside])
    return found


@contextmanager
def sampled(into: Path) -> Iterator[None]:
    """Have nvidia-smi write what the first device has in use, as long as the context is open."""
    with into.open("w") as table, subprocess.Popen(SAMPLED, stdout=table) as process:
        try:
            yield
        finally:
            process.terminate()


def _seconds(text: str, form: str) -> float:
    return datetime.strptime(text, form).timestamp()
