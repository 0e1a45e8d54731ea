from __future__ import annotations

import logging
from pathlib import Path

import pytest
import yaml

from r1ray.commands.compose import compose
from r1ray.commands.run_folder import claim_run_folder, default_name, reserved, run_folder
from r1ray.errors import R1RayError, UserError
from tests.small_disk import fill, small_disk


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
    with pytest.raises(UserError, match=r"learner.lr \(3e-06 there, 0.1 now\)\. Give another name"):
        claim_run_folder(tmp_path / "a", compose([*overrides, "learner.lr=0.1"]))


def test_the_folder_of_an_older_version_goes_on_and_says_which_keys_are_gone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = compose(["model=m", "data.train=t"])
    claim_run_folder(tmp_path, config)
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n')
    saved = tmp_path / "config.yaml"
    older = yaml.safe_load(saved.read_text())
    del older["plan"], older["data"]["on_bad_row"], older["algo"]["group_size"], older["learner"]["lora"]
    saved.write_text(yaml.safe_dump(older | {"cluster": {"color": "red"}}))
    with caplog.at_level(logging.INFO):
        claim_run_folder(tmp_path, config)
    assert caplog.messages == [f"name={tmp_path.name}: goes on with other settings: cluster.color red -> no such key"]
    saved.write_text(yaml.safe_dump(older | {"taste": "sweet"}))
    with pytest.raises(UserError, match=r"taste \(sweet there, no such key now: .*without that line"):
        claim_run_folder(tmp_path, config)


def test_the_name_of_a_run_is_a_function_of_its_settings() -> None:
    names = [default_name(compose(["model=m", "data.train=t", *more])) for more in ([], [], ["learner.lr=0.1"])]
    assert names[0] == names[1] != names[2]
    assert names[0].startswith("r1_zero-seed0-")


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


def test_a_disk_that_is_full_at_the_start_is_said_in_a_sentence_and_nothing_is_left(tmp_path: Path) -> None:
    with small_disk(tmp_path, mib=1) as disk:
        filler = fill(disk)
        with (
            pytest.raises(UserError, match=r"output_dir: .*cannot be written: No space left"),
            reserved(disk / "r" / "a"),
        ):
            claim_run_folder(disk / "r" / "a", compose(["model=m", "data.train=t"]))
        assert [*disk.iterdir()] == [filler]


def test_a_disk_that_is_full_in_the_middle_is_a_fault_of_the_run_whatever_says_so(tmp_path: Path) -> None:
    with small_disk(tmp_path, mib=1) as disk:
        folder = disk / "a"
        with (
            pytest.raises(R1RayError, match=r"No space left.*goes on from the last checkpoint") as ended,
            reserved(folder),
        ):
            (folder / "metrics.jsonl").write_text('{"step": 1}\n')
            fill(disk)
            raise RuntimeError("PytorchStreamWriter failed writing file")
        assert not isinstance(ended.value, UserError)
        assert (folder / "metrics.jsonl").read_text() == '{"step": 1}\n'


def test_what_fails_while_there_is_room_is_not_called_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="another reason"), reserved(tmp_path / "a"):
        raise RuntimeError("another reason")


def test_an_empty_configuration_beside_checkpoints_is_named_with_the_way_out(
    tmp_path: Path,
) -> None:
    config = compose(["model=m", "data.train=t"])
    saved = claim_run_folder(tmp_path / "a", config) / "config.yaml"
    whole = saved.read_text()
    (tmp_path / "a" / "metrics.jsonl").write_text('{"step": 1}\n')
    saved.write_text("")
    with pytest.raises(UserError, match=r"a/config.yaml: is empty. Remove it"):
        claim_run_folder(tmp_path / "a", config)
    saved.unlink()
    claim_run_folder(tmp_path / "a", config)
    assert saved.read_text() == whole


def test_memory_and_length_may_change_and_the_refusal_of_others_offers_the_weights(tmp_path: Path) -> None:
    own = ["model=m", "data.train=t", "steps=10"]
    folder = claim_run_folder(tmp_path / "a", compose(own))
    (folder / "hf" / "10").mkdir(parents=True)
    (folder / "metrics.jsonl").write_text('{"step": 10}\n')
    claim_run_folder(folder, compose([*own[:2], "steps=20", "rollout.gpu_memory_utilization=0.5", "eval.samples=2"]))
    with pytest.raises(UserError, match=r"steps \(20 there, 10 now: it may only grow\).*model=\S+/a/hf/10 name="):
        claim_run_folder(folder, compose(own))
    with pytest.raises(UserError, match=r"learner.schedule \(constant there, cosine now\), steps .*depends on it"):
        claim_run_folder(folder, compose([*own[:2], "steps=30", "learner.schedule=cosine"]))
