"""Imports point down. Read from the source text; nothing is imported."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "r1ray"
RANK = {
    **dict.fromkeys(["types", "errors", "config", "specs"], 0),
    **dict.fromkeys(
        [
            "interfaces",
            "algo",
            "data",
            "telemetry",
            "deadline",
            "ledger",
            "model_files",
            "admission",
            "sandbox",
            "termination",
        ],
        1,
    ),
    **dict.fromkeys(["weights", "group", "checkpoint", "benchmarks", "plateau", "parity", "planning"], 2),
    **dict.fromkeys(["reward", "rollout", "learner", "evaluation", "step_metrics"], 3),
    **dict.fromkeys(["controller", "curation", "evaluate", "score", "search", "supervised"], 4),
    "examples": 5,
    "cluster": 5,
    "stages": 6,
    "recipes": 7,
    "doctor": 7,
    "main": 8,
    "__main__": 9,
    "__init__": 0,
}
ONLY_IN = {
    "ray": {"cluster"},
    "vllm": {"rollout", "weights"},
    "deepspeed": {"learner"},
    "hydra": {"main"},
}


def imports_of(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.append(node.module or "")
    return names


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def check(path: Path) -> list[str]:
    here, broken = room(path), []
    for name in imports_of(path):
        top, _, rest = name.partition(".")
        if top == "r1ray" and rest:
            there = rest.split(".")[0]
            if there != here and RANK[there] >= RANK[here]:
                broken.append(f"{here} imports {there}")
        elif top in ONLY_IN and here not in ONLY_IN[top]:
            broken.append(f"{here} imports {top}")
    return broken


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_downwards(path: Path) -> None:
    assert check(path) == []


def test_nothing_imports_the_examples() -> None:
    for path in ROOT.rglob("*.py"):
        if room(path) != "examples":
            assert not any(name.startswith("r1ray.examples") for name in imports_of(path)), path


def test_the_rule_can_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.test_layering.ROOT", tmp_path)
    bad = tmp_path / "algo" / "bad.py"
    bad.parent.mkdir()
    bad.write_text("import ray\nfrom r1ray.controller import Controller\n")
    assert check(bad) == ["algo imports ray", "algo imports controller"]
