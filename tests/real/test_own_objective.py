"""A package from outside, installed beside the others, with a loss and an advantage that a run is trained by."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from r1ray.telemetry.rollouts import read_rollouts
from tests.real.running import SMALL, environment, metrics, own, r1ray

pytestmark = [pytest.mark.real, pytest.mark.long]
PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "own-objectives"
version = "1.0"

[tool.setuptools]
packages = ["own_objectives"]
"""
SOURCE = '''
"""A loss and an advantage that know nothing of r1ray: they read what they are given."""

import torch


def all_counted(inputs):
    """Return rho A, and that every token was clipped, which no loss that ships says."""
    return inputs.ratio_N * inputs.advantage_N, torch.ones_like(inputs.fresh_N)


def less_the_best(inputs):
    """Return rewards less the best of the group."""
    return [rewards_G - rewards_G.max() for rewards_G in inputs.rewards_PG]


def wrong(inputs):
    """Return one number for the whole micro-batch."""
    return (inputs.ratio_N * inputs.advantage_N).mean(), inputs.fresh_N
'''


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the package is installed in."""
    source, target = (tmp_path_factory.mktemp(name) for name in ("source", "target"))
    (source / "pyproject.toml").write_text(PROJECT)
    (source / "own_objectives").mkdir()
    (source / "own_objectives" / "__init__.py").write_text(SOURCE)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-index", "--no-deps")
    subprocess.run([*pip, "--no-build-isolation", "--target", target, source], check=True, timeout=120)
    return target


def beside(installed: Path) -> dict[str, str]:
    env = environment()
    return env | {"PYTHONPATH": os.pathsep.join([env["PYTHONPATH"], str(installed)])}


def test_a_run_is_trained_by_a_loss_and_an_advantage_of_an_installed_package(
    installed: Path, llama_folder: Path, tmp_path: Path
) -> None:
    train = tmp_path / "train.jsonl"
    train.write_text("".join(f'{{"prompt": "What is {n}+1?", "answer": "{n + 1}"}}\n' for n in range(8)))
    given = (
        *own(llama_folder, train, None, tmp_path / "runs"),
        *(each for each in SMALL if not each.startswith(("eval.", "steps="))),
        *("name=own", "data.template=none", "data.max_prompt_tokens=64", "steps=2"),
        *("algo.max_staleness=1", "algo.advantage_std=none"),
        *("algo.entropy_coefficient=0.01", "algo.kl_weighted=true", "algo.overlong_share=0.5"),
        "algo.advantage_baseline=own_objectives:less_the_best",
    )
    refused = subprocess.run(
        [sys.executable, "-m", "r1ray", "run", *given, "algo.surrogate=own_objectives:wrong"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=beside(installed),
        timeout=120,
    )
    assert refused.returncode == 2 and "algo.surrogate=own_objectives:wrong: on 6 tokens" in refused.stderr
    assert not (tmp_path / "runs").exists()
    r1ray("run", *given, "algo.surrogate=own_objectives:all_counted", cwd=tmp_path, env=beside(installed))
    steps = [row for row in metrics(tmp_path / "runs" / "own") if "clip_fraction" in row]
    assert [row["clip_fraction"] for row in steps] == [1.0, 1.0]
    assert any(row["grad_norm"] > 0 for row in steps)
    assert all(-1.0 <= row["reward/overlong"] < 0.0 for row in steps)
    assert all(row["loss/total"] < row["loss/policy"] for row in steps), "the entropy bonus"
    columns = ["group_id", "reward", "advantage"]
    rows = [row for row in read_rollouts(tmp_path / "runs" / "own" / "rollouts", columns=columns) if row["advantage"]]
    assert rows and max(row["advantage"] for row in rows) < 0, "the best have an advantage of 0"
