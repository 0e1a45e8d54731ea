"""The lines of a log that say why its process failed."""

from __future__ import annotations

import re
from pathlib import Path

TAIL = 256 * 1024
"""Bytes of a log's end that are looked at."""
WIDTH = 300
START = "--- "
"""Begins the line that a process writes first. The lines before are of the one that had its name before."""
ERROR = re.compile(r"(?:^|\s)((?:[A-Za-z_][\w.]*\.)?[A-Z]\w*(?:Error|Exception|Lost|Exceeded|Failed|Unavailable)\b.*)")
"""The last line of a traceback, also behind what a logger puts before it."""
FATAL = re.compile(r"(?:^|\s)((?:Fatal Python error|Segmentation fault|Killed|terminate called|CUDA error|OOM).*)")
VAGUE = re.compile(
    r"EngineDeadError|EngineLost|See stack trace|Engine core (?:initialization failed|proc)|Failed core proc|"
    r"RayActorError|RayTaskError|ActorDiedError|SystemExit"
)
"""Errors that only tell of another one."""


def cause_in(log: Path) -> str:
    """Return the line of a log that says best why its process failed: its last error, and of those rather one that does
    not only tell of another. Empty if it has none, or cannot be read."""
    errors = [found[1].strip()[:WIDTH] for line in end_of(log) if (found := ERROR.search(line) or FATAL.search(line))]
    telling = [line for line in errors if not VAGUE.search(line)]
    return (telling or errors or [""])[-1]


def end_of(log: Path) -> list[str]:
    """Return the last lines of a log, of its last process alone; none where it cannot be read."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return []
    starts = [number for number, line in enumerate(lines) if line.startswith(START)]
    return lines[starts[-1] :] if starts else lines
