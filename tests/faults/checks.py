"""What has to be true of every run that has met faults, once it has ended."""

from __future__ import annotations

import re
import stat
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from r1ray.telemetry.rollouts import read_rollouts
from tests.faults.cells import Cell
from tests.faults.faulty_run import STEPS_A_CELL, FaultyRun
from tests.real.running import balanced

GONE_S, AGENTS_GONE_S = 30.0, 75.0
"""What Ray starts ends by itself, a moment after the driver; its agents after a minute where the raylet was killed."""
AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")
LEFT = {
    r"sockets/(raylet|plasma_store)$": "Ray leaves the sockets of its session's folder when it ends.",
    r"/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$": "vLLM leaves those of an engine that was killed.",
}
"""Sockets that are left all the same, and why."""
BOUND = 1e-3
"""Largest difference of a log-probability between engines and learner, in float32."""


def meet_all(cells: Sequence[Cell], work: Path, model: Path, task: Path) -> None:
    """Have a run meet faults one after the other, and go on to its end."""
    with FaultyRun(work, model, task, num_steps=STEPS_A_CELL * len(cells)) as run:
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
    """No process, and no socket below TMPDIR."""
    check_is_ended(run, but=(), within_s=AGENTS_GONE_S)
    left = sockets_below(run.temporary)
    assert not [path for path in left if not any(re.search(known, str(path)) for known in LEFT)]


def check_is_ended(run: FaultyRun, *, but: Sequence[str] = AGENTS, within_s: float = GONE_S) -> None:
    """No process is left, but for those of some names."""
    until = time.monotonic() + within_s
    while (left := [each for each in run.processes() if each.info["name"] not in but]) and time.monotonic() < until:
        time.sleep(0.1)
    assert not left, [(each.pid, each.info) for each in left]


def sockets_below(folder: Path) -> list[Path]:
    """Return the Unix sockets in a folder and below."""
    return [path for path in folder.rglob("*") if stat.S_ISSOCK(path.lstat().st_mode)]
