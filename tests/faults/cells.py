"""The fault matrix: which process is lost, how, and in which phase of a run. A cell is run, or impossible for a reason.

``RUNS`` says which run of ``test_*.py`` meets which cells, one after the other. ``test_cells.py`` compares: every cell
that is possible belongs to one run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

PROCESSES = (
    "rollout worker",
    "engine core",
    "group worker",
    "reward worker",
    "learner rank",
    "snapshot",
    "rollout log",
    "environment worker",
    "endpoint",
)
"""Those that r1ray starts, and starts again."""
IN_WORLDS = ("environment worker",)
"""Of these, those of runs whose prompts have an environment."""
IN_AGENTS = ("endpoint",)
"""Those of runs whose trajectories are agents. A group worker serves the endpoint that these call."""
SERVED_BY = {"endpoint": "group worker"}
"""The process that has a part which is none of its own."""
UPHOLDING = ("raylet", "GCS", "driver")
"""Those without which no run goes on: on one machine it ends with any of them, and the same command goes on."""
ROLES = (*PROCESSES, *UPHOLDING, "node")
FAULTS = ("SIGKILL", "SIGSTOP", "cut off")
PHASES = ("starting", "generating", "scoring", "learning", "publishing", "checkpointing", "evaluating")


@dataclass(frozen=True, slots=True)
class Cell:
    """A fault."""

    role: str
    fault: str
    phase: str
    count: int = 1
    """So many of the role are lost at once; with more than 1 it stands beside the table."""
    in_turns: bool = False
    """Engines and learner share their cores, and an engine sleeps while the learner learns; beside the table too."""

    @property
    def is_beside(self) -> bool:
        """It stands beside the table."""
        return self.count > 1 or self.in_turns

    def __str__(self) -> str:
        number = f"{self.count} at once: " if self.count > 1 else ""
        return f"{'in turns: ' if self.in_turns else ''}{number}{self.role}, {self.fault}, {self.phase}"


def why_impossible(cell: Cell) -> str | None:
    """Return why there is no such fault; None where there is."""
    if cell.fault == "cut off" and cell.role != "node":
        return "A process shares the network of its node, and is cut off with it: see the row of the node."
    if cell.fault == "SIGSTOP" and cell.role == "node":
        return "A machine that is frozen is, to all others, one that is cut off: see that column."
    return None


TABLE = tuple(Cell(*each) for each in product(ROLES, FAULTS, PHASES))
POSSIBLE = tuple(cell for cell in TABLE if why_impossible(cell) is None)


def cells(roles: Iterable[str], fault: str, phases: Iterable[str] = PHASES) -> tuple[Cell, ...]:
    """Return the cells of these roles and phases, phase after phase, and the two of an engine apart: so a role has the
    time of the others to come back in."""
    order = sorted(roles, key="engine core".__eq__)
    return tuple(Cell(role, fault, phase) for phase, role in product(phases, order))


QUICK = (
    Cell("engine core", "SIGKILL", "generating"),
    Cell("reward worker", "SIGKILL", "scoring"),
    Cell("snapshot", "SIGKILL", "learning"),
    Cell("group worker", "SIGKILL", "generating"),
    Cell("rollout worker", "SIGKILL", "publishing"),
    Cell("learner rank", "SIGKILL", "learning"),
    Cell("reward worker", "SIGKILL", "evaluating"),
    Cell("group worker", "SIGKILL", "evaluating"),
)
"""Met by ``make test`` too. An engine takes longest to come back: the others are met meanwhile."""
AT_ONCE = (
    Cell("engine core", "SIGKILL", "generating", count=2),
    Cell("rollout worker", "SIGKILL", "publishing", count=2),
    Cell("learner rank", "SIGKILL", "learning", count=2),
    Cell("reward worker", "SIGKILL", "scoring", count=2),
    Cell("group worker", "SIGKILL", "generating", count=2),
    Cell("engine core", "SIGSTOP", "learning", count=2),
    Cell("learner rank", "SIGSTOP", "publishing", count=2),
)
TOGETHER = {"starting": PHASES[:1], "steps are made": PHASES[1:4], "versions are passed on": PHASES[4:]}
"""Phases that one run meets, as it is called: a run takes half a minute to start."""
IN_TURNS = (
    Cell("engine core", "SIGKILL", "learning", in_turns=True),
    Cell("learner rank", "SIGKILL", "learning", in_turns=True),
    Cell("engine core", "SIGSTOP", "waking", in_turns=True),
    Cell("rollout worker", "SIGKILL", "publishing", in_turns=True),
    Cell("learner rank", "SIGKILL", "generating", in_turns=True),
)
"""With ``placement=colocated``: asleep, while the other sleeps, between a sleep and its wake, and awake."""
_USUAL = tuple(role for role in PROCESSES if role not in (*IN_WORLDS, *IN_AGENTS))
_KILLED = tuple(cell for cell in cells(_USUAL, "SIGKILL") if cell not in QUICK)
_STOPPED = cells(_USUAL, "SIGSTOP")
RUNS: dict[str, tuple[Cell, ...]] = {
    "killed, the first ones": QUICK,
    **{f"killed while {name}": tuple(c for c in _KILLED if c.phase in phases) for name, phases in TOGETHER.items()},
    "two at once": AT_ONCE,
    "in turns": IN_TURNS,
    **{f"stopped while {name}": tuple(c for c in _STOPPED if c.phase in phases) for name, phases in TOGETHER.items()},
    "in worlds: killed": cells(IN_WORLDS, "SIGKILL"),
    "in worlds: stopped": cells(IN_WORLDS, "SIGSTOP"),
    "in agents: killed": cells(IN_AGENTS, "SIGKILL"),
    "in agents: stopped": cells(IN_AGENTS, "SIGSTOP"),
    "raylet killed": cells(["raylet"], "SIGKILL"),
    "GCS killed": cells(["GCS"], "SIGKILL"),
    "driver killed": cells(["driver"], "SIGKILL"),
    "stopped for a moment": cells(UPHOLDING, "SIGSTOP"),
    "node lost": cells(["node"], "SIGKILL"),
    "node cut off": cells(["node"], "cut off"),
}
NOT_YET: dict[str, str] = {}
"""Runs that have not passed yet, and what was seen of them, as a sentence. ``make test-faults`` leaves them out; with
``RECORD=1`` it runs them all the same."""
