from __future__ import annotations

import logging
from pathlib import Path

import pytest

from r1ray.errors import UserError
from r1ray.stages.resuming import check_changes, from_weights, read_settings

BEFORE = {"steps": 10, "rollout": {"max_num_seqs": 64}, "learner": {"schedule": "constant", "lr": 1e-6}}


def test_what_changed_is_said_in_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    now = BEFORE | {"steps": 20, "rollout": {"max_num_seqs": 8}}
    with caplog.at_level(logging.INFO):
        check_changes(tmp_path, BEFORE, now, named="name=a")
        check_changes(tmp_path, BEFORE, BEFORE, named="name=a")
    (line,) = caplog.messages
    assert line == "name=a: goes on with other settings: rollout.max_num_seqs 64 -> 8, steps 10 -> 20"


def test_a_refused_change_says_how_to_start_from_the_weights(tmp_path: Path) -> None:
    (tmp_path / "hf" / "7").mkdir(parents=True)
    now = BEFORE | {"learner": {"schedule": "constant", "lr": 1.0}}
    weights = f"To start from its weights: model={tmp_path}/hf/7 name=ANOTHER"
    with pytest.raises(UserError, match=rf"learner.lr \(1e-06 there, 1.0 now\)\. Give another name\. {weights}"):
        check_changes(tmp_path, BEFORE, now, named="name=a")


def test_weights_that_are_no_model_yet_are_exported_first(tmp_path: Path) -> None:
    assert from_weights(tmp_path) == ""
    (tmp_path / "hf" / "7").mkdir(parents=True)
    (tmp_path / "checkpoints" / "9").mkdir(parents=True)
    assert from_weights(tmp_path) == (
        f" To start from its weights: r1ray export {tmp_path} version=9, then model={tmp_path}/hf/9 name=ANOTHER."
    )


def test_the_weights_of_a_recipe_are_those_of_its_newest_stage(tmp_path: Path) -> None:
    (tmp_path / "stages" / "rl" / "hf" / "7").mkdir(parents=True)
    assert f"model={tmp_path}/stages/rl/hf/7 " in from_weights(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "5", "a: [", "\0", "just words"])
def test_a_torn_configuration_is_named_with_the_way_out(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UserError, match=r"config.yaml: .*Remove it, and the same command goes on"):
        read_settings(tmp_path / "config.yaml")
