"""Reinforcement learning with a preference model, mixed prompts and an early end, on the real parts."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from r1ray.telemetry.rollout_rows import RolloutRow
from r1ray.telemetry.rollouts import read_rollouts
from tests.real.running import SMALL, balanced, metrics, own, r1ray

pytestmark = [pytest.mark.real, pytest.mark.long]

STEPS = 3
"""The rule compares steps 1 and 2, and makes step 3 the last one."""


@pytest.fixture(scope="module")
def reward_model(qwen_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that nobody trained."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    folder = tmp_path_factory.mktemp("reward_model")
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(AutoConfig.from_pretrained(qwen_folder, num_labels=1))
    torch.nn.init.normal_(model.score.weight, std=5.0)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(qwen_folder).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def prompts(running_total: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten prompts with a reference, two general ones, and one of a domain that is left out."""
    path = tmp_path_factory.mktemp("prompts") / "mixed.jsonl"
    rows = pq.read_table(running_total / "train.parquet").to_pylist()[:13]
    for row in rows[10:]:
        row |= {"domain": "general", "check": {"type": "format"}}
    rows[12]["domain"] = "poems"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, qwen_folder: Path, prompts: Path, running_total: Path, reward_model: Path
) -> tuple[Path, str]:
    """The run folder and what was printed."""
    work = tmp_path_factory.mktemp("work")
    served = f"model: {reward_model}, sees: summary, dtype: float32, cpus_per_actor: 0, max_tokens: 64"
    printed = r1ray(
        *("run", *own(qwen_folder, prompts, running_total / "heldout.parquet", work), *SMALL, "name=preference"),
        *("data.template=none", "data.max_prompt_tokens=16", "eval.every=0", "steps=9"),
        *("data.mixture={math: 3, general: 1}", "reward.combine=normalised"),
        f"+reward.models.helpful={{{served}, batch_tokens: 512}}",
        "+reward.parts.helpful={weight: 2.0, domains: [general], from_step: 2}",
        *("stop.window=1", "stop.after=0", "stop.min_gain=1000", "checkpoint.every=100"),
        cwd=work,
    )
    return work / "preference", printed


def rollouts(folder: Path, step: int) -> list[RolloutRow]:
    return [row for row in read_rollouts(folder / "rollouts", step=step) if row["group_status"] == "trained"]


def test_prompts_are_mixed_as_asked_and_each_domain_has_its_metrics(finished: tuple[Path, str]) -> None:
    rows = [row for row in metrics(finished[0]) if "reward/mean" in row]
    assert [row["step"] for row in rows] == [1, 2, 3]
    for row in rows:
        assert (row["domain/math/share"], row["domain/general/share"]) == (0.75, 0.25)
        assert {"domain/math/reward_mean", "domain/general/length_mean"} <= set(row)
    assert balanced(rows)
    assert "rows of these domains are left out: poems (1)" in finished[1]


def test_only_general_prompts_are_judged_by_the_model_and_it_counts_from_its_step_on(
    finished: tuple[Path, str],
) -> None:
    for step in range(1, STEPS + 1):
        row = next(row for row in metrics(finished[0]) if row["step"] == step)
        logged = rollouts(finished[0], step)
        parts = [each["rewards"] for each in logged]
        assert [("helpful" in found) for found in parts] == [each["domain"] == "general" for each in logged]
        scores = [found["helpful"] for found in parts if "helpful" in found]
        assert len(set(scores)) > 1, "a model has preferences"
        assert row["reward/helpful"] == pytest.approx(sum(scores) / len(scores))
        for each, found in zip(logged, parts, strict=True):
            rules = sum(value for name, value in found.items() if name != "helpful")
            assert each["reward"] == pytest.approx(rules + (2.0 * found.get("helpful", 0.0) if step >= 2 else 0.0))
        assert row["reward/mean"] == pytest.approx(sum(each["reward"] for each in logged) / len(logged))


def test_training_that_stops_to_improve_ends_as_at_the_last_step(finished: tuple[Path, str]) -> None:
    folder, printed = finished
    rows = metrics(folder)
    assert rows[-1]["stop/plateau"] == 1.0 and "eval/heldout/pass@1" in rows[-1]
    manifest = json.loads((folder / "stages" / "rl" / "manifest.json").read_text())
    assert manifest["artifact"]["path"] == str(folder / "hf" / "3")
    assert manifest["artifact"]["metrics"]["steps"] == STEPS
    assert (folder / "checkpoints" / "3").is_dir() and (folder / "hf" / "3" / "config.json").is_file()
    assert "stage rl: training ends with step 3: the mean of reward/mean over the last 1 metrics" in printed
