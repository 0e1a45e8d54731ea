"""Stages: run once, skipped when done, run again when anything that went in has changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from r1ray.errors import UserError
from r1ray.stages.base import Artifact, Context, Stage, read_artifact, run_stages


class Doubling:
    """Writes twice the number in its input."""

    def __init__(self, name: str, *, needs: tuple[str, ...], makes: str, factor: int = 2) -> None:
        self.name, self.needs, self.makes, self.factor = name, needs, makes, factor
        self.runs = 0

    def settings(self) -> dict[str, Any]:
        return {"factor": self.factor}

    def run(self, context: Context, inputs: dict[str, Artifact], digest: str) -> Artifact:
        self.runs += 1
        value = int(Path(inputs[self.needs[0]].path).read_text()) if self.needs else 1
        path = context.run_dir / f"{self.makes}.txt"
        path.write_text(str(value * self.factor))
        return Artifact(str(path), digest, {"value": value * self.factor})


def run(tmp_path: Path, *stages: Doubling) -> dict[str, Artifact]:
    listed: list[Stage] = list(stages)
    return run_stages(listed, Context(tmp_path, tmp_path / "shared"))


def chain(factor: int = 2) -> tuple[Doubling, Doubling]:
    return Doubling("one", needs=(), makes="a", factor=factor), Doubling("two", needs=("a",), makes="b")


def test_each_stage_gets_what_the_one_before_made(tmp_path: Path) -> None:
    made = run(tmp_path, *chain())
    assert Path(made["b"].path).read_text() == "4"
    manifest = json.loads((tmp_path / "stages" / "two" / "manifest.json").read_text())
    assert manifest["inputs"]["a"]["digest"] == made["a"].digest
    assert manifest["artifact"]["metrics"] == {"value": 4}
    assert manifest["settings"] == {"factor": 2} and "code_version" in manifest


def test_a_finished_stage_is_not_run_again(tmp_path: Path) -> None:
    run(tmp_path, *chain())
    again = chain()
    made = run(tmp_path, *again)
    assert [stage.runs for stage in again] == [0, 0]
    assert Path(made["b"].path).read_text() == "4"


def test_a_change_upstream_runs_everything_below_it(tmp_path: Path) -> None:
    run(tmp_path, *chain())
    again = chain(factor=5)
    run(tmp_path, *again)
    assert [stage.runs for stage in again] == [1, 1]


def test_a_stage_whose_artifact_is_gone_runs_again(tmp_path: Path) -> None:
    made = run(tmp_path, *chain())
    Path(made["b"].path).unlink()
    again = chain()
    run(tmp_path, *again)
    assert [stage.runs for stage in again] == [0, 1]


def test_the_maker_of_a_base_model_runs_once_for_all_runs_with_its_settings(tmp_path: Path, said: list[str]) -> None:
    from r1ray.config import PrepareConfig
    from r1ray.stages.prepare import Prepare

    for name in ("first", "second"):
        context = Context(tmp_path / name, tmp_path / "shared")
        run_stages([Prepare(PrepareConfig("tests.stages.makers:make", {"word": "hello"}), seed=3)], context)
    (folder,) = (tmp_path / "shared").glob("base-*")
    assert (folder / "made.txt").read_text() == "hello 3"
    assert any("made before" in line for line in said)


def test_a_maker_that_does_not_exist_is_refused() -> None:
    from r1ray.config import PrepareConfig
    from r1ray.stages.prepare import Prepare

    with pytest.raises(UserError, match=r"prepare\.maker=no\.such:thing: needs package"):
        Prepare(PrepareConfig("no.such:thing"), seed=0)


@pytest.mark.parametrize("text", ["", "[]", "5", "{}", '{"digest": "a", "artifact": []}', '{"digest": "a"', "\0"])
def test_a_torn_manifest_is_named_with_the_way_out(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=r"manifest.json: .*Remove it, and the same command ends the stage once more"):
        read_artifact(tmp_path / "manifest.json", "a")
