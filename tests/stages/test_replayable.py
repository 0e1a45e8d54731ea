"""Which steps of a run can be replayed, and what is said of the others."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from r1ray.errors import UserError
from r1ray.stages.replayable import RunLog, find_log
from tests.stages.logged import write_log, write_origin, write_rollouts


def test_the_first_step_and_those_directly_after_a_checkpoint_can_be_replayed(tmp_path: Path) -> None:
    log = RunLog(write_log(tmp_path / "mine", steps=range(1, 7), saved=(2, 3, 6)))
    assert (log.steps, log.num_logged) == ([1, 3, 4], 6)
    source = log.source(4)
    assert source.checkpoint == tmp_path / "mine" / "checkpoints" / "3" / "learner"
    assert (source.model, source.version, source.logged["grad_norm"]) == ("/models/base", 13, 1.0)
    start = log.source(1)
    assert (start.checkpoint, start.model) == (None, "/models/base")
    assert [group.group_id for group in log.read(4).groups] == ["4/0", "4/1"]


def test_a_run_without_checkpoints_has_its_first_step_and_the_model_of_its_settings(tmp_path: Path) -> None:
    log = RunLog(write_log(tmp_path / "mine", steps=(1, 2), saved=()))
    assert (log.steps, log.source(1).model) == ([1], "m")
    with pytest.raises(UserError, match="needs the checkpoint of step 1, directly before it; there is none"):
        log.source(2)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (9, "has no such step that was trained, it has steps 1 to 5"),
        (3, r"needs the checkpoint of step 2, directly before it; there are those of steps 1, 3, 4\."),
        (4, "step=000004.parquet, which is not there"),
        (5, "lacks the tokens of 1 trajectories, which were lost with their group worker"),
    ],
)
def test_of_another_step_is_said_what_it_lacks_and_which_can_be(tmp_path: Path, step: int, message: str) -> None:
    folder = write_log(tmp_path / "mine", steps=range(1, 6), saved=(1, 3, 4))
    (folder / "rollouts" / "step=000004.parquet").unlink()
    write_rollouts(folder, 5, gone=["5/1#0"])
    with pytest.raises(UserError, match=rf"step={step}: .*{message}.*Steps that can be replayed: 1, 2\.$"):
        RunLog(folder).source(step)


def test_a_step_with_fewer_groups_than_it_was_trained_on_is_refused(tmp_path: Path) -> None:
    folder = write_log(tmp_path / "mine", steps=(1, 2), saved=(1,))
    write_rollouts(folder, 2, num_groups=1)
    assert "has 1 groups, and the step was trained on 2" in str(RunLog(folder).why_not(2))


def test_a_checkpoint_of_other_ranks_is_refused(tmp_path: Path) -> None:
    folder = write_log(tmp_path / "mine", steps=(1, 2, 3), saved=(1, 2), num_ranks=2)
    write_origin(folder, 1, world_size=4)
    with pytest.raises(
        UserError, match=r"saved by 4 learner ranks, and config.yaml has learner.num_ranks=2; .*replayed: 1, 3\."
    ):
        RunLog(folder).source(2)


def test_nothing_that_can_be_replayed_is_said_with_the_keys_that_change_it(tmp_path: Path) -> None:
    log = RunLog(write_log(tmp_path / "mine", steps=(7,), saved=(7,)))
    assert log.steps == []
    assert "checkpoint.every=1 and checkpoint.keep=N" in log.advice


@pytest.mark.parametrize("name", ["checkpoints/1/controller.json", "checkpoints/1/learner/state.json"])
def test_a_torn_checkpoint_is_a_reason(tmp_path: Path, name: str) -> None:
    folder = write_log(tmp_path / "mine", steps=(1, 2), saved=(1,))
    (folder / name).write_text("{")
    with pytest.raises(UserError, match=r"step=2: checkpoint .* is torn"):
        RunLog(folder).source(2)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no rows"])
def test_torn_rows_are_a_reason(tmp_path: Path, content: bytes) -> None:
    folder = write_log(tmp_path / "mine", steps=(1, 2), saved=(1,))
    (folder / "rollouts" / "step=000002.parquet").write_bytes(content)
    log = RunLog(folder)
    with pytest.raises(UserError, match="holds no rows that can be read"):
        log.source(2)
    with pytest.raises(UserError, match="holds no rows that can be read"):
        log.read(2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learner: {lr: much}", "config.yaml: .*much"),
        ("unknown_key: 3", "config.yaml: .*unknown_key"),
        ("", "is empty"),
    ],
)
def test_settings_that_are_none_are_refused(tmp_path: Path, text: str, message: str) -> None:
    folder = write_log(tmp_path / "mine", steps=(1,), saved=())
    (folder / "config.yaml").write_text(text)
    with pytest.raises(UserError, match=message):
        RunLog(folder)


def test_of_a_recipe_the_newest_stage_that_has_the_step_is_meant(tmp_path: Path) -> None:
    recipe = tmp_path / "r1"
    for age, (stage, saved) in enumerate({"reasoning": (2,), "all": (3,)}.items()):
        folder = write_log(recipe / "stages" / stage, steps=(1, 2, 3, 4), saved=saved)
        os.utime(folder / "rollouts", (1000 + age, 1000 + age))
    found = [find_log(recipe, step=step, stage=None).folder.name for step in (None, 1, 3, 4)]
    assert found == ["all", "all", "reasoning", "all"]
    assert find_log(recipe, step=4, stage="reasoning").folder.name == "reasoning"
    assert find_log(recipe / "stages" / "reasoning", step=None, stage=None).steps == [1, 3]


def test_a_folder_without_a_rollout_log_is_refused(tmp_path: Path) -> None:
    for folder, message in ((tmp_path, "has no rollout log"), (tmp_path / "none", "no such folder")):
        with pytest.raises(UserError, match=rf"^{re.escape(str(folder))}: {message}"):
            find_log(folder, step=1, stage=None)
