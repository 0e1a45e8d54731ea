"""``r1ray submit``: a mistake that can be seen here is one, and no cluster hears of it."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from r1ray.cluster.jobs import entrypoint_of
from r1ray.commands.submit import _travelling
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
        (["model=m", "data.train=[/s/a,rows/*.csv]", "output_dir=/s"], "data.train=rows/*.csv: needs an absolute path"),
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


def test_a_folder_of_files_has_to_travel_with_the_job(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "here" / "conf").mkdir(parents=True)
    (tmp_path / "there").mkdir()
    (tmp_path / "here" / "link").symlink_to(tmp_path / "there")
    monkeypatch.chdir(tmp_path / "here")
    for folder in ("../there", str(tmp_path / "there"), "link"):
        assert main(["submit", "--config-dir", folder, "model=m"]) == 2
        assert f"--config-dir {folder}: needs a folder below {tmp_path / 'here'}" in capsys.readouterr().err
    assert _travelling(str(tmp_path / "here" / "conf")) == _travelling("./conf") == "conf"


def test_words_arrive_at_the_job_as_they_were_given(tmp_path: Path) -> None:
    words = ["data.train=/a b/x=1,{y}(z)[w]#'~\u00e9$.parquet", 'name=$HOME `id` \\ "', "--config-dir=a b", "~graph.x"]
    show = "import json, sys; print(json.dumps(sys.argv[4:]))"
    command = entrypoint_of(["run", *words]).replace("python", shlex.join([sys.executable, "-c", show]), 1)
    said = subprocess.run(command, shell=True, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert json.loads(said) == words
