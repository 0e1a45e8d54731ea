from __future__ import annotations

import os
from pathlib import Path

import pytest

import r1ray
from r1ray.errors import UserError
from r1ray.runtime.events import Event, EventFile
from r1ray.telemetry.metrics import MetricsFile
from r1ray.telemetry.rollout_rows import SCHEMA
from r1ray.telemetry.rollouts import EVALUATION, RolloutLog
from tests.telemetry.test_rollouts import write


def planted(folder: Path, *, steps: int = 3) -> Path:
    """A folder as a run leaves it."""
    metrics = MetricsFile(folder / "metrics.jsonl", stage="rl")
    log = RolloutLog(folder / "rollouts")
    for step in range(1, steps + 1):
        extra = {"eval/pass@1": 0.5} if step == steps else {}
        metrics.append({"step": float(step), "reward/mean": step / 10, **extra})
        write(log, step, f"text {step}", "b")
    write(log, steps, "answer", status="evaluated", name=EVALUATION)
    (folder / "config.yaml").write_text("steps: 3\nalgo:\n  group_size: 4\n")
    for step in (2, 10):
        (folder / "hf" / str(step)).mkdir(parents=True)
    return folder


def test_metrics_are_a_table_with_a_column_for_each(tmp_path: Path) -> None:
    metrics = r1ray.load_run(planted(tmp_path)).metrics
    assert metrics.column("reward/mean").to_pylist() == [0.1, 0.2, 0.3]
    assert metrics.column("eval/pass@1").to_pylist() == [None, None, 0.5]
    assert metrics.column("step").to_pylist() == [1, 2, 3] and metrics.column("stage").to_pylist() == ["rl"] * 3


def test_rollouts_and_evaluations_are_tables_of_the_same_columns(tmp_path: Path) -> None:
    run = r1ray.load_run(str(planted(tmp_path)))
    every = run.rollouts(columns=["step", "response_text"])
    assert every.column("step").to_pylist() == [1, 1, 2, 2, 3, 3]
    assert run.rollouts(step=2).schema.names == SCHEMA.names
    assert run.evaluations(step=3, columns=["response_text"]).to_pylist() == [{"response_text": "answer"}]
    with pytest.raises(UserError, match=r"no step=000007\.parquet; there are 1, 2, 3\."):
        run.rollouts(step=7)


def test_the_rest_of_a_run_is_there_too(tmp_path: Path) -> None:
    folder = planted(tmp_path)
    (folder / "status.json").write_text("{}")
    EventFile(folder / "events.jsonl", actor="driver 0").write([Event("learn", 1.0, 2.0)])
    run = r1ray.load_run(folder)
    assert run.config["algo"] == {"group_size": 4}
    assert run.events.column("kind").to_pylist() == ["learn"]
    assert list(run.models) == [2, 10] and run.models[10] == folder / "hf" / "10"


def test_of_a_recipe_the_newest_stage_is_taken_or_the_one_that_is_named(tmp_path: Path) -> None:
    first, second = (planted(tmp_path / "stages" / name, steps=n) for name, n in (("zero", 1), ("rl", 2)))
    os.utime(first / "metrics.jsonl", (1, 1))
    assert r1ray.load_run(tmp_path).folder == second
    assert r1ray.load_run(tmp_path, stage="zero").metrics.num_rows == 1
    with pytest.raises(UserError, match=r"stage=sft: .* needs one of zero, rl"):
        r1ray.load_run(tmp_path, stage="sft")


def test_a_run_without_anything_has_empty_tables(tmp_path: Path) -> None:
    run = r1ray.load_run(tmp_path)
    assert run.metrics.num_rows == 0 and run.models == {}
    assert run.rollouts().schema == SCHEMA and run.evaluations(columns=["step"]).schema.names == ["step"]
    with pytest.raises(UserError, match=r"has no config\.yaml"):
        _ = run.config


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        r1ray.load_run(tmp_path / "gone")
