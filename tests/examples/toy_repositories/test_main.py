"""Toy repositories as files, read as a run and an evaluation read them."""

from __future__ import annotations

import json
from pathlib import Path

from r1ray.config import EnvironmentConfig, SandboxConfig
from r1ray.data.prompt_rows import spool_prompts
from r1ray.data.prompts import PromptTable
from r1ray.data.template import Form
from r1ray.evaluation.benchmarks.definition import load_benchmark
from r1ray.evaluation.benchmarks.reader import read_benchmark
from r1ray.examples.toy_repositories.__main__ import write
from r1ray.stages.worlds import RunWorlds


def test_a_run_and_an_evaluation_find_snapshots_beside_their_rows(tmp_path: Path) -> None:
    write(tmp_path, seed=0)
    worlds = RunWorlds(EnvironmentConfig(), SandboxConfig(), Form("none"))
    report = spool_prompts(
        str(tmp_path / "train.jsonl"), tmp_path / "spool", key="data.train", world_problem=worlds.problem
    )
    assert (report.num_rows, report.quarantined, dict(report.environments)) == (16, (), {"repository": 16})
    table = PromptTable(tmp_path / "spool", str, Form("none"))
    assert worlds.problem_of(table[0]) is None

    items, found = read_benchmark(load_benchmark("prompts"), str(tmp_path / "heldout.jsonl"))
    assert (len(items), found.left_out) == (8, ())
    assert {item.environment for item in items} == {"repository"}
    assert worlds.problem_of(items[0].prompt(str, Form("none"))) is None


def test_a_snapshot_that_is_missing_is_told_by_its_row(tmp_path: Path) -> None:
    write(tmp_path, seed=0)
    first = json.loads((tmp_path / "train.jsonl").read_text().splitlines()[0])
    (tmp_path / first["snapshot"]).unlink()
    worlds = RunWorlds(EnvironmentConfig(), SandboxConfig(), Form("none"))
    report = spool_prompts(
        str(tmp_path / "train.jsonl"), tmp_path / "spool", key="data.train", world_problem=worlds.problem
    )
    assert report.num_rows == 15
    assert report.quarantined[0].startswith(f"{first['id']} (there is no file {tmp_path}")
