from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from r1ray.commands.default_order import in_order


def order(chosen: dict[str, str | None], own: Path | None = None) -> list[str]:
    names: list[Any] = in_order(chosen, own)
    return [next(iter(each)) if isinstance(each, dict) else each for each in names]


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, ["schema", "algo", "reward", "recipe", "experiment", "model", "cluster"]),
        ({"algo": "dapo"}, ["schema", "reward", "recipe", "algo", "experiment", "model", "cluster"]),
        ({"reward": "check"}, ["schema", "algo", "recipe", "reward", "experiment", "model", "cluster"]),
        ({"experiment": "quickstart"}, ["schema", "algo", "reward", "recipe", "experiment", "model", "cluster"]),
        ({"experiment": "smollm2"}, ["schema", "recipe", "algo", "reward", "experiment", "model", "cluster"]),
    ],
)
def test_a_preset_that_is_named_goes_behind_the_recipe(chosen: dict[str, str | None], expected: list[str]) -> None:
    assert order(chosen) == expected


def test_a_preset_is_named_by_the_file_that_an_experiment_starts_from_too(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\ndefaults: [smollm2, _self_]\n")
    assert order({"experiment": "mine"}, tmp_path) == order({"experiment": "smollm2"})
