"""``r1ray replay`` on a run of the real Ray, vLLM and DeepSpeed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.real.running import SMALL, environment, own, r1ray

pytestmark = [pytest.mark.real, pytest.mark.long]

RUN = (
    *(*SMALL, "data.template=none", "data.max_prompt_tokens=16", "name=logged", "eval.every=0"),
    *("checkpoint.every=1", "checkpoint.keep=3"),
)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory, qwen_folder: Path, running_total: Path) -> Path:
    """A run of three steps, with a checkpoint after each."""
    work = tmp_path_factory.mktemp("work")
    files = own(qwen_folder, running_total / "train.parquet", None, work / "runs")
    r1ray("run", *files, *RUN, cwd=work)
    return work / "runs" / "logged"


def replay(run_dir: Path, *arguments: str) -> tuple[int, Any, str]:
    """Exit code, what was printed as JSON, and stderr."""
    command = [sys.executable, "-m", "r1ray", "replay", str(run_dir), *arguments, "--json"]
    done = subprocess.run(
        command, cwd=run_dir.parent, env=environment(), capture_output=True, text=True, timeout=300, check=False
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr


def files_in(folder: Path) -> dict[str, tuple[int, float]]:
    """Size and time of every file."""
    found = {str(path): path.stat() for path in folder.rglob("*") if path.is_file()}
    return {name: (stat.st_size, stat.st_mtime) for name, stat in found.items()}


def test_a_step_replayed_from_its_checkpoint_is_the_logged_one_and_the_folder_stays_as_it_was(run_dir: Path) -> None:
    before = files_in(run_dir)
    assert replay(run_dir)[1]["steps"] == [1, 2, 3]
    code, shown, said = replay(run_dir, "step=2")
    assert code == 0, said
    assert (shown["step"], shown["from"], shown["agrees"]) == (2, "checkpoint 1", True)
    metrics = shown["metrics"]
    assert list(metrics) == ["loss/policy", "loss/total", "grad_norm", "kl/ref", "entropy", "lr"]
    assert metrics["grad_norm"]["logged"] > 1e-3
    for each in metrics.values():
        assert each["replayed"] == pytest.approx(each["logged"], rel=1e-5, abs=1e-6)
    assert files_in(run_dir) == before


def test_the_first_step_is_replayed_from_the_model(run_dir: Path) -> None:
    code, shown, said = replay(run_dir, "step=1")
    assert code == 0, said
    assert shown["from"].startswith("model ") and shown["agrees"]


def test_a_step_whose_log_says_something_else_ends_with_1(run_dir: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(run_dir, tmp_path / "other"))
    rows = [json.loads(line) for line in (other / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        if row["step"] == 3:
            row["grad_norm"] *= 1.01
    (other / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, shown, said = replay(other, "step=3")
    assert code == 1, said
    assert [key for key, each in shown["metrics"].items() if not each["agrees"]] == ["grad_norm"]
