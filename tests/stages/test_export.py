"""``r1ray export``: which checkpoint of which folder, and what is said where there is none."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from r1ray.data.position import Position
from r1ray.loop.checkpoint import Checkpoints, LoopState
from r1ray.loop.ledger import Ledger
from r1ray.main import main
from r1ray.stages.training import claim_checkpoints


def write_checkpoint(run_dir: Path, version: int, model: Path, *, best: str | None = None, **metrics: float) -> float:
    """A checkpoint as one rank without ZeRO writes it; returns what is added to the model's weights."""
    from r1ray.learner.export import write_settings
    from r1ray.learner.state import SETTINGS

    checkpoints = Checkpoints(run_dir / "checkpoints", keep=3, best=best)
    aside = checkpoints.begin(version)
    learner = aside / "learner"
    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    write_settings(loaded, learner / SETTINGS, source=str(model))
    (learner / "engine").mkdir()
    state = {f"model.{name}": tensor + version for name, tensor in loaded.state_dict().items()}
    torch.save({"module": state}, learner / "engine" / "mp_rank_00_model_states.pt")
    origin = {"model": str(model), "parameters": {}, "world_size": 1, "zero_stage": 0, "dtype": "float32"}
    (learner / "state.json").write_text(json.dumps(origin))
    checkpoints.commit(aside, LoopState(version, version, version, Position(), Ledger().state()), metrics=metrics)
    return float(version)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, llama_folder: Path) -> Path:
    """A run with versions 1, 2 and 3, of which 2 is the best."""
    folder = tmp_path_factory.mktemp("finished")
    for version, value in ((1, 0.1), (2, 0.9), (3, 0.4)):
        write_checkpoint(folder, version, llama_folder, best="pass@1", **{"pass@1": value})
    for stage in ("prepare", "rl"):
        (folder / "stages" / stage).mkdir(parents=True)
    claim_checkpoints(folder, "rl", "digest")
    return folder


@pytest.fixture
def run_dir(finished: Path, tmp_path: Path) -> Path:
    """The same, to work in."""
    return Path(shutil.copytree(finished, tmp_path / "runs" / "mine"))


def added(folder: Path, model: Path) -> float:
    """What an export's weights have more than the model's."""
    ours, theirs = (AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32) for path in (folder, model))
    difference = next(ours.parameters()) - next(theirs.parameters())
    return round(float(difference.detach().mean()), 4)


@pytest.mark.parametrize(
    ("arguments", "version"), [([], 3), (["version=1"], 1), (["version=best"], 2), (["version=2", "stage=rl"], 2)]
)
def test_a_version_becomes_a_model_folder_and_its_path_is_printed(
    run_dir: Path, llama_folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], version: int
) -> None:
    assert main(["export", str(run_dir), *arguments]) == 0
    made = run_dir / "hf" / str(version)
    assert capsys.readouterr().out == f"{made}\n"
    assert added(made, llama_folder) == version
    assert [path.name for path in made.parent.iterdir()] == [str(version)]


def test_an_export_that_is_there_is_kept(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(run_dir)]) == 0
    file = run_dir / "hf" / "3" / "model.safetensors"
    before = file.stat().st_mtime_ns
    assert main(["export", str(run_dir)]) == 0
    assert "exported already" in capsys.readouterr().err and file.stat().st_mtime_ns == before
    assert main(["export", str(run_dir), "learner.lora.export=adapter"]) == 2
    assert "with learner.lora.export=merged; needs --out DIR beside it" in capsys.readouterr().err


def test_another_place_is_used_once(run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "to" / "here"
    assert main(["export", str(run_dir), "version=1", "--out", str(out)]) == 0
    assert (out / "model.safetensors").exists() and not (run_dir / "hf").exists()
    assert main(["export", str(run_dir), "version=2", f"--out={out}"]) == 2
    assert "is there already; needs a folder that is not" in capsys.readouterr().err


def test_of_a_recipe_the_newest_stage_that_has_it_is_meant(
    tmp_path: Path, llama_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "runs" / "r1"
    for age, (stage, versions) in enumerate({"reasoning": (2, 4), "sft": (3,)}.items()):
        for version in versions:
            write_checkpoint(recipe / "stages" / stage, version, llama_folder)
            os.utime(recipe / "stages" / stage / "checkpoints" / str(version), (1000 + age, 1000 + age))
    (recipe / "stages" / "collect").mkdir()
    for arguments, made in (
        ([], "sft/hf/3"),
        (["version=4"], "reasoning/hf/4"),
        (["stage=reasoning", "version=2"], "reasoning/hf/2"),
    ):
        assert main(["export", str(recipe), *arguments]) == 0
        assert capsys.readouterr().out == f"{recipe / 'stages' / made}\n"
    assert main(["export", str(recipe / "stages" / "reasoning"), "version=3"]) == 2
    assert "there are those of versions 2, 4" in capsys.readouterr().err
    assert main(["export", str(recipe), "stage=collect"]) == 2
    assert "has no checkpoint" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["version=7"], "version=7: .* has no checkpoint of it; there are those of versions 1, 2, 3"),
        (["version=newest"], "version=newest: needs a version's number, or best"),
        (["stage=sft"], "stage=sft: .* has no such stage; needs one of prepare, rl"),
        (["stage=prepare"], "mine: has no checkpoint"),
        (["learner.lora.export=adapter"], "is of a run without adapters; needs merged"),
        (["--out"], "--out: expected one argument"),
        (["--output=x"], "--output: no such flag; the nearest is --out"),
        (["steps=3"], "steps=3: export has no such key"),
        (["learner.lora.export=half"], "learner.lora.export=half: needs one of merged, adapter"),
        (["more"], "export needs one RUN_DIR, found 2"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_a_sentence(
    run_dir: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["export", str(run_dir), *arguments]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (run_dir / "hf").exists()


def test_no_folder_no_best_and_a_torn_checkpoint_are_told_apart(
    tmp_path: Path, llama_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(tmp_path / "none")]) == 2
    assert "no such folder" in capsys.readouterr().err
    assert main(["export", str(tmp_path)]) == 2
    assert "has no checkpoint" in capsys.readouterr().err
    write_checkpoint(tmp_path, 1, llama_folder)
    assert main(["export", str(tmp_path), "version=best"]) == 2
    assert "keeps no best checkpoint; a run does with checkpoint.best=FIGURE" in capsys.readouterr().err
    (tmp_path / "checkpoints" / "1" / "learner" / "state.json").write_text("{}")
    assert main(["export", str(tmp_path)]) == 2
    assert "is torn: learner/state.json has 2 bytes" in capsys.readouterr().err


@pytest.mark.faults
def test_an_export_that_fails_leaves_nothing(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run_dir / "hf").write_text("a file in the way")
    assert main(["export", str(run_dir)]) == 3
    assert f"the export of version 3 of {run_dir}" in capsys.readouterr().err
    assert [path.name for path in run_dir.iterdir() if path.name.startswith(".")] == []
