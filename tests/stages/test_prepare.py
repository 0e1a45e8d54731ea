"""A maker that is not there, or has no such options, is refused before it is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from r1ray.config import PrepareConfig
from r1ray.errors import UserError
from r1ray.stages.base import Context
from r1ray.stages.prepare import Prepare


@pytest.mark.parametrize("maker", ["no.such:make", "json", ":make", "json:", "..:make", ".json:make"])
def test_a_maker_is_an_importable_function(maker: str) -> None:
    with pytest.raises(UserError, match=r"^prepare.maker=.*: needs package.module:function of an importable function"):
        Prepare(PrepareConfig(maker=maker), seed=0)


@pytest.mark.parametrize(
    ("maker", "options", "message"),
    [
        ("json:lod", {}, "prepare.maker=json:lod: json has no function lod"),
        ("json:__doc__", {}, "prepare.maker=json:__doc__: json has no function __doc__"),
        ("tests.stages.test_prepare:made", {"stepz": 1}, "prepare.options=.*unexpected keyword argument 'stepz'"),
    ],
)
def test_nothing_is_made_by_what_is_no_maker(
    tmp_path: Path, maker: str, options: dict[str, object], message: str
) -> None:
    stage = Prepare(PrepareConfig(maker=maker, options=options), seed=0)
    with pytest.raises(UserError, match=f"^{message}"):
        stage.run(Context(tmp_path / "run", tmp_path / "artifacts"), {}, "0" * 64)
    assert not [*tmp_path.glob("artifacts/base-*")]


def made(folder: Path, *, seed: int, log: object, steps: int = 1) -> None:
    (folder / "model").mkdir()


def test_a_maker_gets_its_options(tmp_path: Path) -> None:
    stage = Prepare(PrepareConfig(maker="tests.stages.test_prepare:made", options={"steps": 3}), seed=0)
    artifact = stage.run(Context(tmp_path / "run", tmp_path / "artifacts"), {}, "0" * 64)
    assert (Path(artifact.path) / "model").is_dir()
