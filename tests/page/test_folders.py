from __future__ import annotations

from pathlib import Path

import pytest

from r1ray.errors import UserError
from r1ray.page.folders import find_runs, names_of, parts_of, rollout_files, stages_of
from tests.page.planted import plant, plant_recipe


def test_a_run_of_one_stage_is_one_part(tmp_path: Path) -> None:
    run = plant(tmp_path / "one", num_steps=2)
    (part,) = parts_of([run])
    assert (part.name, part.folder) == ("one", run)
    assert [(file.kind, file.step) for file in rollout_files([part])] == [("training", 1), ("training", 2)]


def test_the_stages_of_a_recipe_are_parts_in_the_order_in_which_they_were_begun(tmp_path: Path) -> None:
    run = plant_recipe(tmp_path / "recipe")
    assert [part.name for part in parts_of([run])] == ["recipe / fine_tuned", "recipe / rl"]
    assert [folder.name for folder in stages_of(run)] == ["fine_tuned", "rl"]


def test_evaluations_and_steps_that_were_not_finite_are_of_their_kinds(tmp_path: Path) -> None:
    run = plant(tmp_path / "one", num_steps=1)
    for name in ("eval_step=000005", "not_finite_step=000002", "step=odd", "other=1"):
        (run / "rollouts" / f"{name}.parquet").write_bytes(b"")
    kinds = [(file.kind, file.step) for file in rollout_files(parts_of([run]))]
    assert kinds == [("training", 1), ("evaluation", 5), ("not finite", 2)]


def test_runs_of_one_name_are_told_apart_by_their_folders() -> None:
    assert names_of([Path("/a/x/run"), Path("/a/y/run")]) == ["x/run", "y/run"]


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"metrics\.jsonl"):
        find_runs([tmp_path])
    with pytest.raises(UserError, match="no such folder"):
        find_runs([tmp_path / "nowhere"])
    run = plant(tmp_path / "one", num_steps=1)
    with pytest.raises(UserError, match="twice"):
        find_runs([run, run])
