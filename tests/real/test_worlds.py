"""A run whose trajectories are in a world of the user's own: ten lines, two turns."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from r1ray.stages.evaluate.asking import read_answers
from tests.real.running import SMALL, end, metrics, own, r1ray, start

pytestmark = [pytest.mark.real, pytest.mark.long]
WORLD = (
    "+environment.worlds.maze={path: 'tests.real.worlds:TwoTurns'}",
    "+reward.parts.longer={weight: 1.0, from_environment: true}",
    *("data.template=none", "data.max_prompt_tokens=32", "environment.max_trajectory_tokens=64"),
)


def test_trajectories_have_turns_in_a_world_of_the_users_own(
    tmp_path: Path, qwen_folder: Path, running_total: Path
) -> None:
    rows = pq.read_table(running_total / "train.parquet").to_pylist()
    train = tmp_path / "train.jsonl"
    train.write_text(
        "".join(json.dumps(row | {"environment": ("maze", None)[i % 2]}) + "\n" for i, row in enumerate(rows))
    )
    printed = r1ray(
        *("run", *own(qwen_folder, train, None, tmp_path / "runs"), *SMALL, *WORLD, "name=worlds", "steps=1"),
        *("environment.shares={maze: 3, none: 1}",),
        cwd=tmp_path,
    )
    assert "1 environment workers for maze" in printed
    (step,) = [row for row in metrics(tmp_path / "runs" / "worlds") if row["step"] == 1]
    assert step["reward/longer"] >= 0 and "faults/environment_worker" not in step
    found = pq.read_table(tmp_path / "runs" / "worlds" / "rollouts" / "step=000001.parquet").to_pylist()
    assert {row["environment"]: row["num_turns"] for row in found} == {"maze": 2, None: 1}


def test_an_evaluation_puts_its_questions_in_a_world_of_the_users_own(
    tmp_path: Path, qwen_folder: Path, running_total: Path
) -> None:
    data = running_total / "heldout.parquet"
    printed = r1ray(
        *("eval", f"model={qwen_folder}", "benchmark=prompts", f"data={data}", "environment=maze", "limit=3"),
        *("template=none", "samples=4", "max_tokens=24", "environment.max_trajectory_tokens=64", *WORLD[:2]),
        *("environment.max_context_tokens=16", "rollout.dtype=float32", "rollout.max_num_seqs=8"),
        f"output_dir={tmp_path}",
        cwd=tmp_path,
    )
    (path,) = (tmp_path / "evaluations").glob("*/result.json")
    found = json.loads(path.read_text())["environments"]["maze"]
    assert {"pass@1", "pass@4", "reward_mean", "length_mean", "wait_s"} <= found.keys(), printed
    assert found["turns_mean"]["value"] == 2.0 and "unscored" not in found


def test_trajectories_in_a_world_are_sampled_as_dialogues_to_learn_from(
    tmp_path: Path, qwen_folder: Path, running_total: Path
) -> None:
    rows = pq.read_table(running_total / "train.parquet").to_pylist()[:4]
    train = tmp_path / "train.jsonl"
    train.write_text("".join(json.dumps(row | {"environment": "maze"}) + "\n" for row in rows))
    process = start(
        *("run", "recipe=collect", *own(qwen_folder, train, None, tmp_path / "runs"), *WORLD, "name=collected"),
        *("rollout.dtype=float32", "rollout.max_num_seqs=8", "collect.samples=2", "collect.max_tokens=24"),
        *("collect.filters=[]", "collect.min_value=0.0"),
        cwd=tmp_path,
    )
    try:
        printed, _ = process.communicate(timeout=480)
    finally:
        end(process)
    assert "nothing was kept of 8 samples: {'cut': 8}" in printed, "an untrained model ends no turn"
    for question in read_answers(tmp_path / "runs" / "collected" / "samples.jsonl").values():
        for sample in question.samples:
            (dialogue,) = sample.dialogues
            assert [each["role"] for each in dialogue.messages] == ["user", "assistant", "user", "assistant"]
            assert dialogue.messages[2]["content"] == "again ?" and len(dialogue.turn_ends) == 2
