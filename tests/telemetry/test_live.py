from __future__ import annotations

from pathlib import Path

import pytest

from r1ray.telemetry.live import Live, TimeLeft


def test_the_time_left_is_that_of_the_steps_since_the_first_one_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([1000.0, 1010.0, 1039.96])
    monkeypatch.setattr("r1ray.telemetry.live.time.monotonic", lambda: next(clock))
    left = TimeLeft(num_steps=20)  # a run that goes on from step 10
    assert [left.after(step) for step in (10.0, 11.0, 12.0)] == ["", "1:30", "2:40"]


def test_an_evaluation_of_an_older_step_leaves_the_last_step(tmp_path: Path) -> None:
    live = Live(tmp_path)
    live.expect_steps(9)
    live.end_step({"step": 0.0, "eval/pass@1": 0.25})
    for step in range(1, 9):
        live.end_step({"step": step, "time/step_s": 1.0, "reward/mean": step / 10})
    live.end_step({"step": 3.0, "eval/pass@1": 0.5})
    assert live.row["step"] == 8 and live.tested == {"eval/pass@1": 0.5} and live.num_steps == 9
    assert live.rewards.mean == pytest.approx(0.6)


def test_a_stage_begins_with_nothing_of_the_one_before(tmp_path: Path) -> None:
    live = Live(tmp_path)
    live.expect_steps(9)
    live.end_step({"step": 1.0, "time/step_s": 1.0, "reward/mean": 0.5})
    live.begin_stage("rl")
    assert (live.stage, live.row, live.rewards.mean, live.num_steps, live.left) == ("rl", {}, None, 0, "")
