"""Checks of a run that has met faults, once it has ended."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from r1ray.runtime.scratch import PREFIX
from r1ray.telemetry.rollouts import read_rollouts
from tests.faults.cells import Cell
from tests.faults.faulty_run import FaultyRun
from tests.real.running import balanced

GONE_S = 30.0
"""The watch of a command ends what it left, a moment after it."""
SHARED_MEMORY = Path("/dev/shm")
"""Semaphores are there too."""
AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")
"""What ``ray start`` leaves for a minute on a node that is gone."""
BOUND = 1e-3
"""Largest difference of a log-probability between engines and learner, in float32."""


def meet_all(cells: Sequence[Cell], work: Path, model: Path, task: Path, *more: str) -> None:
    """Have a run, with ``more`` overrides, meet faults one after the other, and go on to its end."""
    with FaultyRun(work, model, task, *more) as run:
        run.start()
        run.wait_until_begun()
        for cell in cells:
            run.meet(cell)
        assert run.finish() == 0, run.printed[-4000:]
        check(run)


def check(run: FaultyRun) -> None:
    """Assert all of it."""
    check_books(run)
    check_rollouts(run)
    check_nothing_is_left(run)


def check_books(run: FaultyRun) -> None:
    """Metrics are continuous, the ledger balances, every publish was verified."""
    rows = run.rows
    assert [row["step"] for row in rows] == list(range(run.num_steps + 1)), "a line for every step, and none twice"
    versions = [row["policy_version"] for row in rows]
    assert versions == sorted(set(versions)), "no version is used twice"
    assert balanced(rows)
    assert (rows[-1]["ledger/trained"], rows[-1]["ledger/in_flight"]) == (4 * run.num_steps, 0)
    probed = [row["publish/probe_max_logprob_diff"] for row in rows if "publish/probe_max_logprob_diff" in row]
    assert len(probed) > 0.9 * len(rows) and max(probed) < BOUND, "engines hold what the learner does"


def check_rollouts(run: FaultyRun) -> None:
    """No group was trained twice in the weights that remain, and all that were trained are in the log."""
    columns = ["step", "group_id", "trajectory", "group_status"]
    rows = [row for row in read_rollouts(run.folder / "rollouts", columns=columns) if row["group_status"] == "trained"]
    times = Counter((row["group_id"], row["trajectory"]) for row in rows)
    assert max(times.values()) == 1 and len(times) == 4 * 4 * run.num_steps
    assert set(Counter(row["step"] for row in rows).values()) == {16}


def check_nothing_is_left(run: FaultyRun) -> None:
    """No process; below TMPDIR no socket and no scratch folder; no shared memory and no semaphore."""
    check_is_ended(run)
    below = [path for path in run.temporary.rglob("*") if path.is_socket() or path.name.startswith(PREFIX)]
    shared = [path for path in SHARED_MEMORY.iterdir() if any(name in path.name for name in run.names)]
    assert not below + shared


def check_is_ended(run: FaultyRun) -> None:
    """No process is left."""
    until = time.monotonic() + GONE_S
    while (left := run.processes()) and time.monotonic() < until:
        time.sleep(0.1)
    assert not left, [(each.pid, each.info) for each in left]
