"""Status of the processes of a run: what they say of themselves in ``RUN_DIR/logs/``, and what /proc says."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1ray.runtime.causes import cause_in
from r1ray.runtime.own_process import Told, own
from r1ray.runtime.processes import ProcessId, State, state_of

SHOWN = 3
PARTS = (
    ("learner", ("learner rank",)),
    ("reference", ("learner rank",)),
    ("version", ("learner rank", "rollout worker", "engine")),
    ("engine", ("rollout worker", "engine")),
    ("eval", ("eval", "rollout worker", "engine")),
    ("group", ("group worker", "rollout worker", "engine", "reward worker", "environment worker")),
    ("actors", ("",)),
)
"""The first word that is in an owner's name says which roles it is made of."""


@dataclass(frozen=True, slots=True)
class ActorStatus:
    """A process of a run, as ``r1ray status`` shows it."""

    role: str
    index: int
    node: str
    pid: int
    state: State
    waits_for: str
    since_s: float
    last_error: str
    log: str

    def __str__(self) -> str:
        error = f" ({self.last_error})" if self.last_error else ""
        return f"{self.role} {self.index}, {self.state}, process {self.pid} on {self.node}{error}: {self.log}"


def read_told(path: Path) -> Told | None:
    """Return a status file; None for one that is gone, or is not one."""
    try:
        return told_of(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def told_of(value: dict[str, Any]) -> Told:
    """Return what a JSON object says of a process. Raises ValueError, TypeError or KeyError where it is another."""
    return Told(**(value | {"process": ProcessId(**value["process"])}))


def status_of(told: Told) -> ActorStatus:
    """Return the status of a process by what it says, and by /proc."""
    now = time.time()
    state = state_of(told.process, silent_s=now - told.updated)
    last_error = told.last_error
    if state == "dead":
        last_error = cause_in(Path(told.log)) or last_error
    return ActorStatus(
        role=told.role,
        index=told.index,
        node=told.process.node,
        pid=told.process.pid,
        state=state,
        waits_for=told.waits_for,
        since_s=round(max(0.0, now - told.since), 1),
        last_error=last_error,
        log=told.log,
    )


def read_actors(logs: Path) -> list[Told]:
    """Return what every process says of itself that has a status file in a folder, by role and index."""
    found = [told for path in sorted(logs.glob("[!.]*.json")) if (told := read_told(path)) is not None]
    return sorted(found, key=lambda told: (told.role, told.index, told.log))


def suspects(owner: str) -> list[ActorStatus]:
    """Return to the driver the processes that may be why ``owner`` has not answered: those that are not running, and if
    all are, those that the owner is made of, with the longest wait first."""
    process = own()
    if process is None or process.name.role != "driver":  # others have deadlines by the thousand
        return []
    actors = [status_of(told) for told in read_actors(process.log.parent)]
    at_fault = [each for each in actors if each.state != "running"]
    named = [each for each in actors if _is_part(each, owner)]
    return sorted(at_fault or named, key=lambda each: -each.since_s)[:SHOWN]


def explained(owner: str, found: Sequence[ActorStatus]) -> str:
    """Return the sentence that says where to look."""
    if not found:
        return f"look at the log of {owner}."
    return "look at " + "; ".join(map(str, found)) + "."


def _is_part(actor: ActorStatus, owner: str) -> bool:
    """Return whether an owner's name, such as ``the learner group`` or ``group 0/8``, is about a process."""
    if actor.role in owner:
        return True
    roles = next((roles for word, roles in PARTS if word in owner), ())
    return any(role in actor.role for role in roles)
