"""``r1ray submit``: a mistake that can be seen here is one, and no cluster hears of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from r1ray.main import main


@pytest.fixture(autouse=True)
def nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **keywords: object) -> None:
        raise AssertionError("a cluster was asked about a run that cannot work")

    monkeypatch.setattr("r1ray.cluster.jobs.Jobs.__init__", refuse)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["algo.grop_size=4"], "algo.grop_size: no such key; the nearest is algo.group_size."),
        (["model=m", "data.train=t", "algo.group_size=1"], "algo.group_size=1: needs at least 2"),
        (["model=m", "data.train=t"], "output_dir=runs: needs an absolute path, on storage that every node"),
        (["model=m", "data.train=rows.jsonl", "output_dir=/s"], "data.train=rows.jsonl: needs an absolute path"),
        (["model='~/m'", "data.train=t", "output_dir=/s"], "model=~/m: needs an absolute path"),
        (["--stop", "algo.grop_size=4"], "algo.grop_size: no such key"),
        (["--force"], "--force: no such flag; the nearest is --"),
        (["--stop", "--status", "a"], "--status: not allowed with argument --stop"),
    ],
)
def test_mistakes(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
    message: str,
) -> None:
    (tmp_path / "rows.jsonl").touch()
    monkeypatch.chdir(tmp_path)
    assert main(["submit", "--address", "http://127.0.0.1:1", *arguments]) == 2
    assert message in capsys.readouterr().err
