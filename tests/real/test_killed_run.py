"""A run that is killed, and goes on with another number of learner ranks."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from r1ray.telemetry.rollouts import read_rollouts
from tests.real.running import SMALL, balanced, end, metrics, only_run, own, r1ray, start, wait_until

pytestmark = [pytest.mark.real, pytest.mark.faults]


def test_a_killed_run_goes_on_from_its_checkpoint_with_another_model_and_file(
    tmp_path: Path, llama_folder: Path, arithmetic_jsonl: Path
) -> None:
    """A Llama-style model with untied embeddings and a JSON-lines file of the user's; two learner ranks under ZeRO-3,
    generation one version ahead. The driver is killed, and the same command with one rank finishes the run."""
    command = [
        *("run", *own(llama_folder, arithmetic_jsonl, arithmetic_jsonl, tmp_path / "runs"), *SMALL),
        *("steps=5", "checkpoint.every=2", "algo.max_staleness=1", "data.max_prompt_tokens=400"),
        *("learner.num_ranks=2", "learner.cpus_per_rank=0.5"),
        *("learner.max_tokens_per_microbatch=512", "learner.zero_stage=3", "eval.every=0"),
    ]
    process = start(*command, cwd=tmp_path)
    try:
        wait_until(
            lambda: (tmp_path / "runs").is_dir() or process.poll() is not None, timeout_s=120, what="a run folder"
        )
        run_dir = only_run(tmp_path / "runs", "r1_zero-seed0-")
        reached = run_dir / "checkpoints" / "2" / "controller.json"
        wait_until(lambda: reached.exists() or process.poll() is not None, timeout_s=480, what="a checkpoint")
        assert process.poll() is None, process.communicate()[0][-4000:]
        os.killpg(process.pid, signal.SIGKILL)
    finally:
        end(process)
    printed = r1ray(*command, "learner.num_ranks=1", cwd=tmp_path)
    assert "stage rl: resuming after step 2" in printed
    assert "in the layout of Hugging Face" in printed
    rows = metrics(run_dir)
    assert [row["step"] for row in rows] == [0, 1, 2, 3, 4, 5]
    assert balanced(rows)
    assert rows[-1]["ledger/trained"] == 20
    assert max(row["staleness/max"] for row in rows[1:]) == 1, "generation ran ahead, and by no more than it may"
    fresh = "mismatch/fresh_max_logprob_diff"
    assert all(row[fresh] < 1e-3 for row in rows[1:] if fresh in row)
    trained = [row["group_id"] for row in read_rollouts(run_dir / "rollouts", columns=["group_id"])]
    assert len(set(trained)) == 20 and len(trained) == 20 * 4, "no group twice, none lost"
