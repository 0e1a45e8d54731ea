"""``r1ray run`` on the real Ray, vLLM and DeepSpeed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from r1ray.telemetry.rollouts import read_rollouts
from tests.real.running import SMALL, balanced, metrics, own, r1ray

pytestmark = pytest.mark.real

NAMES = (
    *(
        "step",
        "stage",
        "policy_version",
        "reward/mean",
        "reward/accuracy",
        "reward/format",
        "reward/even",
        "completion/length_mean",
    ),
    *("completion/truncated_rate", "kl/ref", "mismatch/kl", "mismatch/max_logprob_diff", "loss/policy", "loss/total"),
    *("clip_fraction", "entropy", "grad_norm", "lr", "staleness/mean", "staleness/max", "ledger/issued"),
    *("ledger/trained", "ledger/dropped", "ledger/in_flight", "time/step_s", "time/generate_s", "time/reward_s"),
    *("time/learn_s", "time/publish_s", "time/idle_learner_s", "time/idle_rollout_s"),
    *("throughput/samples_per_s", "throughput/generated_tokens_per_s", "throughput/trained_tokens_per_s"),
)


FIRST = (
    *(*SMALL, "data.template=none", "data.max_prompt_tokens=16", "name=first"),
    *("checkpoint.every=1", "checkpoint.keep=3", "checkpoint.best=pass@1", "checkpoint.export_every=2"),
    # Prompts of more than a step's tokens, which ended an engine where each request had a seed.
    *("rollout.seeded=true", "rollout.max_num_batched_tokens=48"),
)

FIGURES = ("loss/", "grad_norm", "clip_fraction", "entropy", "kl/", "lr", "mismatch/", "reward/", "eval/", "ledger/")
"""Beginnings of the names of what a repeated step repeats; times differ."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, qwen_folder: Path, running_total: Path) -> tuple[Path, str]:
    """The run folder and the output of a short on-policy run, started in another folder than the checkout."""
    work = tmp_path_factory.mktemp("work")
    files = own(qwen_folder, running_total / "train.parquet", running_total / "heldout.parquet", work / "runs")
    printed = r1ray("run", *files, *FIRST, cwd=work)
    return work / "runs" / "first", printed


def test_every_step_is_logged_under_the_published_names(finished: tuple[Path, str]) -> None:
    rows = metrics(finished[0])
    assert [row["step"] for row in rows] == [0, 1, 2, 3]
    for row in rows[1:]:
        assert not [name for name in NAMES if name not in row]
    assert [row["step"] for row in rows if "eval/heldout/pass@1" in row] == [0, 2, 3]
    assert "eval/heldout/cons@2" in rows[0]


def test_on_policy_means_no_token_is_older_than_the_policy(finished: tuple[Path, str]) -> None:
    for row in metrics(finished[0])[1:]:
        assert row["staleness/max"] == 0
        assert row["policy_version"] == row["step"]


def test_learner_and_engine_agree_on_every_token_and_on_the_probe(finished: tuple[Path, str]) -> None:
    rows = metrics(finished[0])
    assert all(row["mismatch/max_logprob_diff"] < 1e-3 for row in rows[1:]), "float32 on both sides"
    assert all(row["publish/probe_max_logprob_diff"] < 1e-3 for row in rows)
    assert all(row["grad_norm"] > 0 for row in rows[1:]), "the weights do change"


def test_the_books_balance(finished: tuple[Path, str]) -> None:
    rows = metrics(finished[0])
    assert balanced(rows)
    assert (rows[-1]["ledger/trained"], rows[-1]["ledger/in_flight"]) == (12, 0)


def test_every_group_is_in_the_rollout_log_once(finished: tuple[Path, str]) -> None:
    folder = finished[0] / "rollouts"
    assert sorted(path.name for path in folder.glob("*.parquet")) == [f"step={step:06d}.parquet" for step in (1, 2, 3)]
    rows = list(read_rollouts(folder))
    assert len({(row["group_id"], row["trajectory"]) for row in rows}) == len(rows) == 3 * 4 * 4
    for row in rows:
        assert (row["group_status"], row["stage"]) == ("trained", "rl")
        (segment,) = row["segments"]
        assert segment["logprobs"] is not None
        assert len(segment["tokens"]) == len(segment["logprobs"]) == row["num_policy_tokens"] <= 24
        assert row["versions"] == {"min": row["step"] - 1, "max": row["step"] - 1}
        assert row["seconds"]["generate"] > 0


def test_the_run_folder_has_its_parts(finished: tuple[Path, str]) -> None:
    folder, printed = finished
    manifest = json.loads((folder / "stages" / "rl" / "manifest.json").read_text())
    assert manifest["artifact"]["path"] == str(folder / "hf" / "3")
    assert (folder / "config.yaml").is_file()
    assert (folder / "checkpoints" / "3" / "controller.json").is_file()
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert f"run folder: {folder}" in printed and f"plot:       {folder / 'curves.png'}" in printed


def test_the_run_says_where_its_models_are_and_a_checkpoint_makes_the_same_one_bit_for_bit(
    finished: tuple[Path, str], tmp_path: Path
) -> None:
    folder, printed = finished
    best = json.loads((folder / "checkpoints" / "best.json").read_text())["version"]
    assert f"stage rl: the model is in {folder}/hf/3" in printed
    assert f"stage rl: the best by pass@1, version {best}, is in {folder}/hf/{best}" in printed
    assert sorted(path.name for path in (folder / "hf").iterdir()) == sorted({"2", "3", str(best)})
    made = tmp_path / "made"
    assert r1ray("export", str(folder), "version=2", "--out", str(made), cwd=tmp_path).splitlines()[-1] == str(made)
    during_training = {path.name: path.read_bytes() for path in (folder / "hf" / "2").iterdir()}
    assert {path.name: path.read_bytes() for path in made.iterdir()} == during_training


def test_the_same_command_again_does_nothing(
    finished: tuple[Path, str], qwen_folder: Path, running_total: Path
) -> None:
    folder, _ = finished
    files = own(qwen_folder, running_total / "train.parquet", running_total / "heldout.parquet", folder.parent)
    before = metrics(folder)
    printed = r1ray("run", *files, *FIRST, cwd=folder)
    assert "stage rl: done already" in printed
    assert metrics(folder) == before


@pytest.mark.faults
def test_a_run_that_goes_on_from_a_checkpoint_repeats_every_metric_to_the_last_bit(
    finished: tuple[Path, str], tmp_path: Path, qwen_folder: Path, running_total: Path
) -> None:
    """As if it had been killed after its first checkpoint."""
    folder = tmp_path / "runs" / "first"
    shutil.copytree(finished[0], folder)
    (folder / "stages" / "rl" / "manifest.json").unlink()
    for version in ("2", "3"):
        shutil.rmtree(folder / "checkpoints" / version)
    files = own(qwen_folder, running_total / "train.parquet", running_total / "heldout.parquet", folder.parent)
    printed = r1ray("run", *files, *FIRST, cwd=tmp_path)
    assert "stage rl: resuming after step 1" in printed
    whole, later = metrics(finished[0]), metrics(folder)
    assert [row["step"] for row in later] == [0, 1, 2, 3]
    for before, after in zip(whole, later, strict=True):
        names = [name for name in before if name.startswith(FIGURES)]
        assert {name: after[name] for name in names} == {name: before[name] for name in names}
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["1", "2", "3", "best.json"]
