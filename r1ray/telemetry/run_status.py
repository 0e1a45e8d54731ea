"""The status of a run, read from its folder, whether it lives or not: what ``r1ray status`` shows.

``status.json`` is the driver's, ``logs/<role>-<index>.json`` each actor's; /proc says of both whether they run, are
stopped or are dead, as far as they are on this node.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from r1ray.errors import UserError
from r1ray.runtime.actor_status import ActorStatus, read_actors, status_of, told_of
from r1ray.runtime.own_process import Told
from r1ray.runtime.processes import state_of
from r1ray.runtime.run_files import LOGS
from r1ray.telemetry.metrics import last_row

STATUS = "status.json"
DRIVER_LATE_S = 15.0


@dataclass(frozen=True, slots=True)
class DriverTold:
    """The driver's word on the run: ``status.json``."""

    run: str
    stage: str
    folder: str
    """The folder of the stage's metrics.jsonl."""
    driver: Told
    ended: str
    """The end of the run, in words; empty as long as it goes on."""


@dataclass(frozen=True, slots=True)
class RunStatus:
    """A run at a moment."""

    run: str
    stage: str
    step: int | None
    """The last one that was made."""
    policy_version: int | None
    updated_s_ago: float
    driver: dict[str, Any]
    actors: list[ActorStatus]
    """With the driver."""
    ledger: dict[str, int]
    faults: dict[str, int]
    is_late: bool
    """The driver has written nothing for a while."""

    def as_json(self) -> str:
        """Return it as ``r1ray status --json`` prints it."""
        value = asdict(self)
        del value["is_late"]
        return json.dumps(value, indent=2)

    def lines(self) -> list[str]:
        """Return it for people."""
        step = "no step yet" if self.step is None else f"step {self.step}, policy version {self.policy_version}"
        ledger = ", ".join(f"{name} {count}" for name, count in self.ledger.items())
        faults = ", ".join(f"{name} {count}" for name, count in self.faults.items())
        driver = self.actors[0]
        found = [
            f"run {self.run}, stage {self.stage or 'none yet'}: {step}; written {self.updated_s_ago:.0f} s ago",
            f"driver: {driver.state}, process {driver.pid} on {driver.node}" + _ended(driver),
            *([f"groups: {ledger}"] if ledger else []),
            *([f"faults: {faults}"] if faults else []),
        ]
        if self.is_late and driver.state == "running":
            found.append("the driver's process lives, but has written nothing for a while")
        return [*found, *_table(self.actors)]


def find_run(folder: Path) -> Path:
    """Return the folder of the run that has a status: that folder itself, or one above it (of a stage's folder the
    recipe's). Raises UserError."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; needs the folder of a run.")
    found = next((each for each in (folder, folder.parent, folder.parent.parent) if (each / STATUS).is_file()), None)
    if found is None:
        raise UserError(f"{folder}: no run has been started here, for it has no {STATUS}; needs the folder of a run.")
    return found


def read_status(run_dir: Path) -> RunStatus:
    """Return the status of the run in a folder. Raises UserError where its file is not one."""
    told = _read(run_dir / STATUS)
    age = time.time() - told.driver.updated
    state = "ended" if told.ended else state_of(told.driver.process, silent_s=age)
    driver = status_of(told.driver)
    if told.ended:
        driver = replace(driver, state="ended", waits_for="", last_error=told.ended)
    elif state == "dead":
        driver = replace(driver, waits_for="", last_error="it was killed, or crashed, without a last word")
    actors = [status_of(each) for each in read_actors(run_dir / LOGS)]
    if told.ended:  # it has ended them itself; of a run that failed, their errors are left
        actors = [each for each in actors if each.state in ("running", "stopped") or each.last_error]
    row = last_row(Path(told.folder) / "metrics.jsonl") if told.folder else {}
    return RunStatus(
        run=told.run,
        stage=told.stage,
        step=_whole(row.get("step")),
        policy_version=_whole(row.get("policy_version")),
        updated_s_ago=round(max(0.0, age), 1),
        driver={"node": told.driver.process.node, "pid": told.driver.process.pid, "state": state},
        actors=[driver, *actors],
        ledger=_counts(row, "ledger/"),
        faults=_counts(row, "faults/"),
        is_late=age > DRIVER_LATE_S and not told.ended,
    )


def last_end(run_dir: Path) -> str | None:
    """Return how the last command in a folder ended, None where there was none; of one that could not say so, that it
    was killed."""
    try:
        return _read(run_dir / STATUS).ended or "killed"
    except UserError:
        return None


def last_stage(run_dir: Path) -> tuple[str, str]:
    """Return the last stage that was begun in a folder, and the folder of its metrics; empty where there is none."""
    try:
        told = _read(run_dir / STATUS)
    except UserError:
        return "", ""
    return told.stage, told.folder


def on_this_node(run_dir: Path) -> dict[int, ActorStatus]:
    """Return the processes of the run that live on this node, by pid; their state is of this moment."""
    told = [_read(run_dir / STATUS).driver, *read_actors(run_dir / LOGS)]
    found = [status_of(each) for each in told if each.process.is_here]
    return {each.pid: each for each in found if each.state in ("running", "stopped")}


def _read(path: Path) -> DriverTold:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        return DriverTold(**(value | {"driver": told_of(value["driver"])}))
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise UserError(
            f"{path}: is not the status of a run ({error}); a run that goes on here rewrites it."
        ) from error


def _ended(driver: ActorStatus) -> str:
    return f": {driver.last_error}" if driver.state in ("ended", "dead") and driver.last_error else ""


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _counts(row: dict[str, Any], prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix): int(value) for name, value in row.items() if name.startswith(prefix)}


def _table(actors: Sequence[ActorStatus]) -> list[str]:
    rows = [("actor", "state", "pid", "node", "for", "waits for")]
    rows += [
        (f"{each.role} {each.index}", each.state, str(each.pid), each.node, f"{each.since_s:.0f} s", _waits(each))
        for each in actors
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        lines.append("  ".join([*cells, row[-1]]).rstrip())
    return [*lines, f"logs: {os.path.dirname(actors[0].log)}"]


def _waits(actor: ActorStatus) -> str:
    if actor.state == "ended":
        return ""
    error = f"last error: {actor.last_error}" if actor.last_error else ""
    return "; ".join(filter(None, [actor.waits_for if actor.state != "dead" else "", error]))
