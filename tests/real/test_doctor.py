"""``r1ray doctor`` on a real Ray."""

from __future__ import annotations

import json
import re
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


PHASES = ("cluster", "model", "start", "generate", "reward", "learn", "publish", "probe", "export", "reload")


def doctor(*arguments: str, cwd: Path) -> tuple[int, str, str]:
    """Exit code, what was printed, and what was said."""
    process = subprocess.Popen(
        [sys.executable, "-m", "r1ray", "doctor", *arguments],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        printed, said = process.communicate(timeout=360)
    finally:
        end(process)
    return process.returncode, printed, said


def test_a_run_that_would_work_is_green_but_for_what_is_not_there(
    tmp_path: Path, qwen_folder: Path, running_total: Path
) -> None:
    files = own(qwen_folder, running_total / "train.parquet", tmp_path / "gone.jsonl", tmp_path / "runs")
    settings = ["data.template=none", "data.max_prompt_tokens=16", "learner.num_ranks=2", "learner.cpus_per_rank=0.5"]
    code, printed, _ = doctor("--json", *files, *SMALL, *settings, cwd=tmp_path)
    findings = json.loads(printed)
    assert code == 1, printed
    red = [row["found"] for row in findings if row["status"] == "red"]
    assert len(red) == 1 and "gone.jsonl: no such file" in red[0], red
    assert {row["check"] for row in findings} >= CLUSTER, printed
    assert not (tmp_path / "runs").exists(), "nothing is left behind"


@pytest.mark.parametrize("placement", ["separate", pytest.param("colocated", marks=pytest.mark.long)])
def test_two_steps_of_a_tiny_model_pass_through_every_phase(tmp_path: Path, placement: str) -> None:
    turns = f"placement={placement}"
    code, printed, said = doctor("--smoke", "--json", f"output_dir={tmp_path}/runs", turns, cwd=tmp_path)
    assert code == 0, printed + said
    found = json.loads(printed)
    assert found["passed"] and found["failure"] is None
    assert tuple(row["phase"] for row in found["phases"]) == PHASES
    assert all(row["seconds"] > 0 for row in found["phases"])
    metrics = {row["phase"]: row["metrics"] for row in found["phases"]}
    assert (metrics["publish"]["publishes"], metrics["publish"]["resent"]) == (3, 0)
    assert metrics["probe"]["max_nats"] <= metrics["probe"]["bound_nats"] == found["bound"] == 0.1, "bfloat16"
    assert metrics["learn"]["moved_nats"] > 5 * found["bound"], "the probe would notice weights of the version before"
    settings = found["settings"]
    assert (settings["engine_dtype"], settings["learner_dtype"]) == ("bfloat16", "bfloat16")
    assert settings["transport"] == "gloo" and settings["in_turns"] == (placement == "colocated")
    made = re.search(r"making (\S+)/artifacts", said)
    assert made is not None and not Path(made[1]).exists()
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"
