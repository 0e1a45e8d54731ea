"""``r1ray doctor`` on a real Ray."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.real.running import SMALL, end, environment, own

pytestmark = pytest.mark.real
CLUSTER = {
    *("cluster", "placement", "versions", "gpus", "limits", "shared memory", "disk", "clock", "ports", "storage"),
    *("paths", "gloo all-reduce", "gloo broadcast", "sandbox"),
}
"""Checks that ask a node, or measure between the run's actors."""


def test_a_run_that_would_work_is_green_but_for_what_is_not_there(
    tmp_path: Path, qwen_folder: Path, running_total: Path
) -> None:
    files = own(qwen_folder, running_total / "train.parquet", tmp_path / "gone.jsonl", tmp_path / "runs")
    settings = ["data.template=none", "data.max_prompt_tokens=16", "learner.num_ranks=2", "learner.cpus_per_rank=0.5"]
    process = subprocess.Popen(
        [sys.executable, "-m", "r1ray", "doctor", "--json", *files, *SMALL, *settings],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        printed, _ = process.communicate(timeout=360)
    finally:
        end(process)
    findings = json.loads(printed)
    assert process.returncode == 1, printed
    red = [row["found"] for row in findings if row["status"] == "red"]
    assert len(red) == 1 and "gone.jsonl: no such file" in red[0], red
    assert {row["check"] for row in findings} >= CLUSTER, printed
    assert not (tmp_path / "runs").exists(), "nothing is left behind"
