"""GCS fault tolerance, as the overlays for GPUs have it: the head's pod is lost in the middle of a run, and another pod
takes over what it had in Redis."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from r1ray.telemetry.rollouts import read_rollouts
from tests.k8s.pods import DASHBOARD, TINY, WITHOUT_GPUS, Pods, entrypoint, rows_in, running, wait_for
from tests.real.machines import NAMESPACES
from tests.real.running import balanced

pytestmark = [
    *(pytest.mark.real, pytest.mark.faults, pytest.mark.long),
    pytest.mark.needs("kubectl", "redis-server", *NAMESPACES),
]
JOB, RUN_S, END_S = "r1ray-x", 240.0, 120.0
SLOW = "'+reward.parts.slow={weight: 0.0, function: \"tests.real.rewards:slow\"}'"
"""A step takes a second, and leaves the cores to the new head."""


def test_a_run_goes_on_without_its_head_and_under_another_one(
    tmp_path: Path, qwen_folder: Path, running_total: Path
) -> None:
    storage = tmp_path / "storage"
    shutil.copytree(running_total, storage / "data")
    shutil.copy(running_total / "heldout.parquet", storage / "data" / "eval.parquet")
    own = [f"model={qwen_folder}", "steps=1000", "checkpoint.every=1000", SLOW]
    command = entrypoint("one-gpu-node", storage, *TINY, *WITHOUT_GPUS, *own)
    with running("one-gpu-node", with_redis=True) as pods:
        submitter = pods.submit("one-gpu-node", JOB, command)
        wait_for_steps(pods, storage, 2)

        pods.kill("head")
        assert submitter.wait(END_S) != 0  # so Kubernetes starts another submitter
        wait_for_steps(pods, storage, 2)  # a run needs no head for its steps

        pods.start_head()
        submitter = pods.submit("one-gpu-node", JOB, command)
        wait_for(
            lambda: pods.log("submitter").count("run folder: ") == 2, timeout_s=END_S, what="the log, from its start"
        )
        wait_for_steps(pods, storage, 2)
        assert pods.log("submitter").count("submitted successfully") == 1

        # It ends as it would have under the first one.
        assert pods.run("learner", "end-run").wait(END_S) == 0, pods.log("learner")
        assert f"{JOB} was asked to end" in pods.log("learner")
        pods.run("submitter", "ray", "job", "status", "--address", DASHBOARD, JOB).wait(END_S)
        assert "Job entrypoint command failed with exit code 143" in pods.log("submitter")

    rows = rows_in(storage)
    steps = [row["step"] for row in rows]
    assert steps == list(range(len(rows)))
    assert balanced(rows) and rows[-1]["ledger/trained"] == 4 * steps[-1] and rows[-1]["ledger/dropped"] == 0
    rollouts = [
        row for folder in storage.glob("runs/*/rollouts") for row in read_rollouts(folder, columns=["step", "group_id"])
    ]
    groups = [group for _, group in {(row["step"], row["group_id"]) for row in rollouts}]
    assert len(groups) == len(set(groups)) == 4 * steps[-1]
    assert [path.name for path in storage.glob("runs/*/checkpoints/*")] == [str(steps[-1])]


def wait_for_steps(pods: Pods, storage: Path, count: int) -> None:
    """So many more than are done now."""
    before = len(rows_in(storage))

    def are_done() -> bool:
        return len(rows_in(storage)) >= before + count

    try:
        wait_for(are_done, timeout_s=RUN_S, what=f"step {before + count}")
    except AssertionError as error:
        logs = pods.machines["learner"].folder.glob(f"ray/session_2*/logs/job-driver-{JOB}.log")
        raise AssertionError(f"{error}: {[log.read_text()[-3000:] for log in logs]}") from error
