from __future__ import annotations

from pathlib import Path

import pytest

from r1ray.commands.compose import compose
from r1ray.commands.run_folder import claim_run_folder, default_name, differences, reserved, run_folder
from r1ray.errors import UserError


def test_a_run_folder_of_other_settings_is_not_reused(tmp_path: Path) -> None:
    overrides = ["model=m", "data.train=t"]
    claim_run_folder(tmp_path / "a", compose(overrides))
    claim_run_folder(tmp_path / "a", compose([*overrides, "deadlines.learn_s=7"]))
    elsewhere = compose([*overrides, "learner.num_ranks=2", "rollout.num_actors=3"])
    claim_run_folder(tmp_path / "a", elsewhere)
    assert "num_ranks: 2" in (tmp_path / "a" / "config.yaml").read_text()
    assert default_name(elsewhere) == default_name(compose(overrides))
    claim_run_folder(tmp_path / "a", compose([*overrides, "learner.lr=0.2"]))  # nothing was made there
    claim_run_folder(tmp_path / "a", elsewhere)
    (tmp_path / "a" / "metrics.jsonl").write_text('{"step": 1}\n')
    with pytest.raises(UserError, match=r"learner.lr \(3e-06 there, 0.1 now\); give another name"):
        claim_run_folder(tmp_path / "a", compose([*overrides, "learner.lr=0.1"]))


def test_the_name_of_a_run_is_a_function_of_its_settings() -> None:
    names = [default_name(compose(["model=m", "data.train=t", *more])) for more in ([], [], ["learner.lr=0.1"])]
    assert names[0] == names[1] != names[2]
    assert names[0].startswith("r1_zero-seed0-")


def test_differences_are_named_by_their_dotted_keys() -> None:
    before = {"learner": {"lr": 1, "gone": 2}, "steps": 3}
    now = {"learner": {"lr": 9, "new": {"a": 1}}, "steps": 3}
    assert [*differences(before, now)] == [
        ("learner.gone", 2, None),
        ("learner.lr", 1, 9),
        ("learner.new", None, {"a": 1}),
    ]


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"output_dir=runs: .*file/a cannot be made"):
        claim_run_folder(tmp_path / "file" / "a", compose(["model=m", "data.train=t"]))


def test_a_refused_command_leaves_the_name_free(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "a"
    with pytest.raises(UserError, match="no such file"), reserved(folder):
        claim_run_folder(folder, compose(["model=m", "data.train=t"]))
        raise UserError("data.train=t: no such file.")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ["metrics.jsonl", "notes.txt", "stages/rl/manifest.json"])
def test_a_refused_command_keeps_what_is_in_the_folder(tmp_path: Path, name: str) -> None:
    kept = tmp_path / "a" / name
    kept.parent.mkdir(parents=True)
    kept.write_text("made before")
    with pytest.raises(UserError, match="refused"), reserved(tmp_path / "a"):
        raise UserError("refused")
    assert kept.read_text() == "made before"


@pytest.mark.parametrize("name", ["../x", "..", ".", "a/b", "/tmp/x", ".hidden", "artifacts", "evaluations"])
def test_a_name_is_that_of_a_folder_in_output_dir(tmp_path: Path, name: str) -> None:
    own = ["model=m", "data.train=t", f"output_dir={tmp_path}"]
    assert run_folder(compose([*own, "name=a"])) == tmp_path / "a"
    with pytest.raises(UserError, match=r"name="):
        compose([*own, f"name={name}"])
