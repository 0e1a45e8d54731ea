"""The step that is made again after a learner rank was lost is the same to the last bit; and fine-tuning."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from r1ray.telemetry.rollouts import read_rollouts
from tests.real.running import SMALL, balanced, end, environment, metrics, own, start, wait_until
from tests.real.test_run import FIGURES
from tests.real.test_supervised import SMALL as SUPERVISED
from tests.real.test_supervised import dialogues, write

pytestmark = [pytest.mark.real, pytest.mark.faults, pytest.mark.long]

BOOKS = ("ledger/issued", "ledger/in_flight", "ledger/reissued")
"""A group is issued once, also where its step is made twice."""
RUN = (
    *(*SMALL, "data.template=none", "data.max_prompt_tokens=16", "name=lost", "steps=5", "checkpoint.every=2"),
    *("algo.surrogate=tests.real.surrogates:breaking", "rollout.seeded=true", "eval.every=0"),
    *("learner.num_ranks=2", "learner.cpus_per_rank=0.5"),
)


def running(process: subprocess.Popen[str], *kinds: str) -> set[int]:
    """The processes under a driver whose command lines name one of these."""
    found = set()
    for each in psutil.Process(process.pid).children(recursive=True):
        try:
            if any(kind in " ".join(each.cmdline()) for kind in kinds):
                found.add(each.pid)
        except psutil.Error:
            continue
    return found


def figures(row: dict[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in row.items() if name.startswith(FIGURES) and name not in BOOKS}


def run_with(number: int, tmp_path: Path, model: Path, task: Path, *more: str) -> tuple[Path, dict[str, Any], str]:
    """Run; rank 1 gets a signal in the middle of step 4. Return the run's folder, the line that step 3 had before, and
    what was printed."""
    folder, trigger = tmp_path / "runs" / "lost", tmp_path / "fault"
    trigger.write_text(f"1 {number} 4 {folder / 'metrics.jsonl'}")
    command = ["run", *own(model, task / "train.parquet", None, tmp_path / "runs"), *RUN, *more]
    process = start(*command, cwd=tmp_path, env=environment(FAULT=str(trigger)))
    try:
        wait_until(lambda: len(metrics(folder)) == 3 or process.poll() is not None, timeout_s=300, what="step 2")
        before = running(process, "ray::AsyncHost", "VLLM")
        wait_until(lambda: not trigger.exists() or process.poll() is not None, timeout_s=120, what="the fault")
        began = time.monotonic()
        wait_until(lambda: len(metrics(folder)) == 3 or process.poll() is not None, timeout_s=120, what="going back")
        wait_until(lambda: len(metrics(folder)) > 3 or process.poll() is not None, timeout_s=240, what="step 3 again")
        print(f"from the fault to the next step: {time.monotonic() - began:.1f} s")
        assert before and (process.poll() is not None or before <= running(process, "ray::", "VLLM")), (
            "engines and the rest stay"
        )
        printed, _ = process.communicate(timeout=240)
    finally:
        end(process)
    assert process.returncode == 0, printed[-4000:]
    return folder, json.loads(trigger.with_suffix(".jsonl").read_text().splitlines()[3]), printed


def check(folder: Path, line: dict[str, Any], printed: str) -> None:
    rows = metrics(folder)
    assert [row["step"] for row in rows] == [0, 1, 2, 3, 4, 5]
    assert [row["policy_version"] for row in rows] == [0, 1, 2, 6, 7, 8], "3 was live, and its step undone"
    assert figures(rows[3]) == figures(line), "the step that is made again is the same to the last bit"
    assert balanced(rows) and (rows[-1]["ledger/trained"], rows[-1]["ledger/in_flight"]) == (20, 0)
    assert all(row["publish/probe_max_logprob_diff"] < 1e-3 for row in rows), "engines hold what the learner does"
    assert all(row["staleness/max"] == 0 for row in rows[1:])
    assert (rows[-1]["learner/restarts"], rows[-1]["faults/learner_rank"]) == (1, 1)
    groups = [row["group_id"] for row in read_rollouts(folder / "rollouts", columns=["group_id"])]
    assert len(set(groups)) == 20 and len(groups) == 20 * 4, "no group twice, none lost"
    assert sorted(path.name for path in (folder / "checkpoints").iterdir())[-1] == "5"
    assert "learner rank 1 (process" in printed and "from the checkpoint of step 2" in printed


def test_a_rank_that_is_killed_in_its_step_costs_the_steps_since_the_checkpoint(
    tmp_path: Path, qwen_folder: Path, running_total: Path
) -> None:
    check(*run_with(signal.SIGKILL, tmp_path, qwen_folder, running_total))


def test_fine_tuning_goes_on_without_a_rank_that_is_killed(tmp_path: Path, llama_folder: Path) -> None:
    train = write(tmp_path / "train.jsonl", dialogues(0, 600))
    arguments = ["run", "recipe=sft", f"model={llama_folder}", f"supervised.train={train}", "name=sft"]
    arguments += [f"output_dir={tmp_path}", "learner.num_ranks=2", *SUPERVISED, "supervised.epochs=6"]
    process = start(*arguments, "checkpoint.every=20", cwd=tmp_path)
    folder = tmp_path / "sft"
    try:
        wait_until(lambda: len(metrics(folder)) > 30 or process.poll() is not None, timeout_s=300, what="step 31")
        os.kill(max(running(process, "ray::RankHost")), signal.SIGKILL)
        printed, _ = process.communicate(timeout=400)
    finally:
        end(process)
    assert process.returncode == 0, printed[-4000:]
    rows = metrics(folder)
    assert [row["step"] for row in rows] == list(range(1, 114))
    assert (rows[-1]["learner/restarts"], rows[-1]["faults/learner_rank"]) == (1, 1)
    assert "The learner group is started again, from the checkpoint of step" in printed
    assert rows[-1]["lr"] == pytest.approx(2e-4), "the schedule went on where it stood"
    assert (folder / "hf" / "113" / "model.safetensors").is_file()
