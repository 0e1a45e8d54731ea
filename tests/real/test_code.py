"""Code RL for real: programs that the engine wrote, judged by their tests in the sandbox, and learnt from."""

from __future__ import annotations

from pathlib import Path

import pytest

from r1ray.telemetry.rollouts import read_rollouts
from tests.real.running import environment, metrics, r1ray

pytestmark = pytest.mark.real


def test_a_short_run_on_programs(tmp_path: Path) -> None:
    short = ["steps=2", "prepare.options.pretrain_steps=200", "eval.final_num_prompts=16", "eval.final_samples=2"]
    # One thread: two would wait for each other by spinning where another test has a core.
    short.append("prepare.options.threads=1")
    env = environment(OMP_NUM_THREADS="1")
    r1ray("run", "experiment=tiny_programs", f"output_dir={tmp_path}", "name=code", *short, cwd=tmp_path, env=env)
    steps = metrics(tmp_path / "code")
    assert 0 < steps[1]["reward/accuracy"] < 1
    assert steps[1]["scoring/correct"] == steps[1]["reward/accuracy"]
    assert steps[1]["scoring/seconds_p99"] > 0
    assert "scoring/infrastructure_error" not in steps[1]
    rows = list(read_rollouts(tmp_path / "code" / "rollouts", step=1))
    labels = {row["label"] for row in rows}
    assert "correct" in labels and labels <= {"correct", "wrong", "runtime_error", "no_answer"}
    wrong = next(row for row in rows if row["label"] not in ("correct", "no_answer"))
    assert wrong["detail"].startswith("test ")
    assert wrong["reward"] == 0.0
    right = next(row for row in rows if row["label"] == "correct")
    assert right["extracted"] == right["response_text"]
