"""Imports point down. Read from the source text; nothing is imported."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "r1ray"
ROWS = (  # from the bottom
    "checks errors config turns",
    "types runtime",
    "interfaces algo",
    "weights data sandbox telemetry mirror",
    "conversation",
    "endpoint",
    "reward rollout learner",
    "environments curation planning",
    "loop evaluation examples",
    "cluster simulation",
    "stages",
    "recipes",
    "doctor page",
    "commands",
    "main library",
    "__main__ __init__",
)
RANK = {name: rank for rank, row in enumerate(ROWS) for name in row.split()}
ONLY_IN = {
    "ray": {"cluster"},
    "vllm": {"rollout", "weights"},
    "deepspeed": {"learner"},
    "hydra": {"commands/compose"},
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
        elif top in ONLY_IN and not {here, str(path.relative_to(ROOT).with_suffix(""))} & ONLY_IN[top]:
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
    bad.write_text("import ray\nfrom r1ray.loop.controller import Controller\n")
    assert check(bad) == ["algo imports ray", "algo imports loop"]
    other = tmp_path / "commands" / "run.py"
    other.parent.mkdir()
    other.write_text("from hydra import compose\n")
    assert check(other) == ["commands imports hydra"]
