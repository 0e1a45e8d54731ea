"""``r1ray run`` on the real Ray, vLLM and DeepSpeed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from r1ray.telemetry.rollouts import EVALUATION, read_rollouts
from r1ray.telemetry.timeline import read_events
from tests.real.running import (
    SMALL,
    TURNS,
    balanced,
    end,
    metrics,
    own,
    r1ray,
    start,
    turns_in_logs,
    wait_until,
)

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
    # Without effect where engines and learner have devices of their own.
    "+rollout.engine_args={worker_extension_cls: tests.real.sleeping.Spoiling}",
)

FIGURES = ("loss/", "grad_norm", "clip_fraction", "entropy", "kl/", "lr", "mismatch/", "reward/", "eval/", "ledger/")
"""Beginnings of the names of what a repeated step repeats; times differ."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A run that was looked at by ``r1ray status`` while it ran, and while its driver was stopped."""

    folder: Path
    printed: str
    running: dict[str, Any]
    stopped: dict[str, Any]
    answered_s: float
    stacks: str
    """While the driver was stopped."""


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, qwen_folder: Path, running_total: Path) -> Watched:
    """A short on-policy run, started in another folder than the checkout."""
    work = tmp_path_factory.mktemp("work")
    folder = work / "runs" / "first"
    files = own(qwen_folder, running_total / "train.parquet", running_total / "heldout.parquet", folder.parent)
    process = start("run", *files, *FIRST, cwd=work)
    try:
        wait_until(lambda: bool(metrics(folder)) or process.poll() is not None, timeout_s=480, what="step 0")
        assert process.poll() is None, process.communicate()[0][-4000:]
        running = json.loads(r1ray("status", str(folder), "--json", cwd=work))
        os.kill(process.pid, signal.SIGSTOP)
        began = time.monotonic()
        stopped = json.loads(r1ray("status", str(folder), "--json", cwd=work))
        answered_s = time.monotonic() - began
        stacks = r1ray("status", str(folder), "--stacks", cwd=work)
        os.kill(process.pid, signal.SIGCONT)
        printed, _ = process.communicate(timeout=480)
    finally:
        end(process)
    assert process.returncode == 0, printed[-4000:]
    return Watched(folder, printed, running, stopped, answered_s, stacks)


@pytest.fixture(scope="module")
def finished(watched: Watched) -> tuple[Path, str]:
    """The run folder and the output of that run."""
    return watched.folder, watched.printed


def test_its_status_names_every_process_and_what_it_waits_for(watched: Watched) -> None:
    status, actors = watched.running, watched.running["actors"]
    assert (status["run"], status["stage"], status["driver"]["state"]) == ("first", "rl", "running")
    assert status["step"] == status["policy_version"] <= 3
    roles = {each["role"] for each in actors}
    assert roles >= {"driver", "rollout worker", "engine core", "reward worker", "learner rank", "rollout log"}
    assert len({each["pid"] for each in actors}) == len(actors)
    for each in actors:
        assert each["state"] == "running" and each["waits_for"] and each["since_s"] >= 0
        assert Path(each["log"]).is_file() and Path(each["log"]).parent == watched.folder / "logs"


def test_a_stopped_driver_is_said_to_be_stopped_within_five_seconds(watched: Watched) -> None:
    assert watched.stopped["driver"]["state"] == "stopped"
    assert watched.answered_s < 5
    states = {each["role"]: each["state"] for each in watched.stopped["actors"]}
    assert states["driver"] == "stopped" and states["engine core"] == states["learner rank"] == "running"


def test_stacks_of_all_its_processes_are_to_be_had(watched: Watched) -> None:
    parts = {part.partition(",")[0]: part for part in watched.stacks.split("\n--- ")[1:]}
    assert "it is stopped" in parts["driver 0"]
    for name, module in (("engine core 0", "vllm"), ("rollout worker 0", "ray"), ("learner rank 0", "ray")):
        assert "Thread 0x" in parts[name] and module in parts[name], name


def test_after_its_end_the_status_says_so(watched: Watched) -> None:
    status = json.loads(r1ray("status", str(watched.folder), "--json", cwd=watched.folder))
    assert (status["step"], status["driver"]["state"]) == (3, "ended")
    assert [each["role"] for each in status["actors"]] == ["driver"]
    assert status["ledger"].items() >= {"issued": 12, "trained": 12, "dropped": 0, "in_flight": 0}.items()


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
    steps, evaluated = [f"step={step:06d}.parquet" for step in (1, 2, 3)], [0, 2, 3]
    found = sorted(path.name for path in folder.glob("*.parquet"))
    assert found == [*(f"eval_step={step:06d}.parquet" for step in evaluated), *steps]
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
@pytest.mark.parametrize("placement", [pytest.param("separate", marks=pytest.mark.long), "colocated"])
def test_a_run_that_goes_on_from_a_checkpoint_repeats_every_metric_to_the_last_bit(
    finished: tuple[Path, str], tmp_path: Path, qwen_folder: Path, running_total: Path, placement: str
) -> None:
    """As if it had been killed after its first checkpoint; also where engine and learner take turns from there on."""
    folder = tmp_path / "runs" / "first"
    shutil.copytree(finished[0], folder)
    (folder / "stages" / "rl" / "manifest.json").unlink()
    for version in ("2", "3"):
        shutil.rmtree(folder / "checkpoints" / version)
    files = own(qwen_folder, running_total / "train.parquet", running_total / "heldout.parquet", folder.parent)
    printed = r1ray("run", *files, *FIRST, f"placement={placement}", cwd=tmp_path)
    assert "stage rl: resuming after step 1" in printed
    whole, later = metrics(finished[0]), metrics(folder)
    assert [row["step"] for row in later] == [0, 1, 2, 3]
    for before, after in zip(whole, later, strict=True):
        names = [name for name in before if name.startswith(FIGURES)]
        assert {name: after[name] for name in names} == {name: before[name] for name in names}
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["1", "2", "3", "best.json"]
    num_turns = 3 if placement == "colocated" else 0  # before the ranks start, and before steps 2 and 3
    assert turns_in_logs(folder) == dict.fromkeys(TURNS, num_turns)


# ---------------------------------------------------------------------- what a page needs


def test_trained_rows_have_the_learners_log_probabilities_and_where_each_token_ends(finished: tuple[Path, str]) -> None:
    every = read_rollouts(finished[0] / "rollouts")
    rows = [row for row in every if row["group_status"] == "trained" and row["advantage"] is not None]
    assert {row["learner_updates"] for row in rows} == {0, 1}, "minibatches of a step"
    for row in rows:
        (segment,) = row["segments"]
        found, sampled = segment["learner_logprobs"], segment["logprobs"]
        assert found is not None and sampled is not None and len(found) == len(sampled) == len(segment["tokens"])
        if row["learner_updates"] == 0:
            assert max(abs(one - other) for one, other in zip(found, sampled, strict=True)) < 1e-3, "float32, fresh"
        ends = segment["token_ends"]
        assert ends is not None and ends == sorted(ends) and ends[-1:] == [len(segment["text"])][: len(ends)]


def test_evaluations_are_kept_with_their_texts_and_compared_at_the_end(finished: tuple[Path, str]) -> None:
    folder, printed = finished
    logged = {row["step"]: row["eval/heldout/pass@1"] for row in metrics(folder) if "eval/heldout/pass@1" in row}
    for step, expected in logged.items():
        rows = list(read_rollouts(folder / "rollouts", step=step, name=EVALUATION))
        assert len(rows) == 8 and all(row["group_status"] == "evaluated" and row["response_text"] for row in rows)
        assert sum(row["rewards"]["accuracy"] >= 1 for row in rows) / 8 == pytest.approx(expected)
    assert "pass@1, last minus first evaluation: " in printed
    manifest = json.loads((folder / "stages" / "rl" / "manifest.json").read_text())
    assert "change/pass@1" in json.dumps(manifest)


def test_every_process_has_told_what_it_did(finished: tuple[Path, str]) -> None:
    events = read_events(finished[0]).to_pylist()
    kinds = {(event["actor"].rpartition(" ")[0], event["kind"]) for event in events}
    assert kinds >= {
        *(("driver", "start"), ("driver", "wait"), ("driver", "learn"), ("driver", "publish"), ("driver", "evaluate")),
        *(("rollout worker", "start"), ("rollout worker", "generate"), ("rollout worker", "pause")),
        *(("rollout worker", "evaluate"), ("rollout worker", "load"), ("reward worker", "score")),
        *(("learner rank", "start"), ("learner rank", "learn"), ("learner rank", "save"), ("rollout log", "record")),
    }
    assert all(event["start"] <= event["end"] for event in events)
    assert not [event for event in events if event["kind"] in ("dropped", "fault")]
