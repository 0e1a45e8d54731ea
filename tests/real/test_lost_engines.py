"""A run that loses engines: two at once, killed and stopped, while it trains and while it generates."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from r1ray.telemetry.rollouts import read_rollouts
from tests.real.running import SMALL, balanced, end, engines, metrics, own, start, wait_until

pytestmark = [pytest.mark.real, pytest.mark.faults, pytest.mark.long]


def test_a_run_goes_on_when_both_engines_are_killed_and_when_one_is_stopped(
    tmp_path: Path, qwen_folder: Path, running_total: Path
) -> None:
    files = own(qwen_folder, running_total / "train.parquet", None, tmp_path / "runs")
    process = start(
        *("run", *files, *SMALL, "name=lost", "steps=40", "eval.every=0", "algo.max_staleness=1"),
        *("data.template=none", "data.max_prompt_tokens=16", "checkpoint.every=0"),
        *("rollout.num_actors=2", "rollout.cpus_per_actor=0.5", "rollout.silent_s=20", "learner.cpus_per_rank=0.5"),
        cwd=tmp_path,
    )
    folder, lost = tmp_path / "runs" / "lost", list[psutil.Process]()

    def reaches(step: int) -> Callable[[], bool]:
        return lambda: process.poll() is not None or any(row["step"] >= step for row in metrics(folder))

    try:
        for step, number, parts in ((1, signal.SIGKILL, [0, 1]), (2, signal.SIGSTOP, [1]), (3, signal.SIGSTOP, [0])):
            wait_until(reaches(step), timeout_s=300, what=f"step {step}")
            assert process.poll() is None, process.communicate()[0][-4000:]
            wait_until(lambda: len(engines(process.pid)) == 2, timeout_s=200, what="two engines")
            victims = engines(process.pid)[: 2 if number == signal.SIGKILL else 1]
            for victim in victims:
                lost += victim
                for part in parts[:1]:
                    os.kill(victim[part].pid, number)
        printed, _ = process.communicate(timeout=600)
    finally:
        end(process)
    assert process.returncode == 0, printed[-4000:]
    rows = metrics(folder)
    assert [row["step"] for row in rows] == list(range(41)) and balanced(rows)
    assert rows[-1]["ledger/trained"] == 160
    trained = [row["group_id"] for row in read_rollouts(folder / "rollouts", columns=["group_id"])]
    assert len(set(trained)) >= 160
    probed = [row["publish/probe_max_logprob_diff"] for row in rows if "publish/probe_max_logprob_diff" in row]
    assert len(probed) > 30 and max(probed) < 1e-3, "engines hold what the learner does"
    assert not [each.pid for each in lost if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
