from __future__ import annotations

from pathlib import Path

import pytest

from r1ray.commands.report import command
from r1ray.errors import UserError
from r1ray.runtime.run_files import holds_work
from tests.page.planted import plant


def test_the_page_of_a_run_is_in_its_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = plant(tmp_path / "one", num_steps=1)
    command([str(run)])
    assert (run / "report.html").is_file()
    assert str(run / "report.html") in capsys.readouterr().out


def test_the_page_of_several_runs_is_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command([str(plant(tmp_path / name, num_steps=1)) for name in ("a", "b")])
    assert (tmp_path / "report.html").is_file()
    assert not (tmp_path / "a" / "report.html").exists()


def test_a_page_makes_no_work_of_a_folder_that_has_none(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("seed: 0\n")
    command([str(tmp_path)])
    assert not holds_work(tmp_path)


def test_mistakes_are_refused(tmp_path: Path) -> None:
    run = str(plant(tmp_path / "one", num_steps=1))
    for arguments in (
        [],
        [str(tmp_path)],
        [run, run],
        [run, "--serve", "--out", "a.html"],
        [run, "--out", str(tmp_path)],
    ):
        with pytest.raises(UserError):
            command(arguments)
    with pytest.raises(UserError, match="cannot be written"):
        command([run, "--out", f"{run}/metrics.jsonl/report.html"])


def test_a_run_with_a_file_that_cannot_be_read_is_refused_by_its_name(tmp_path: Path) -> None:
    run = plant(tmp_path / "one", num_steps=1)
    for name in ("events.jsonl", "metrics.jsonl"):
        (run / name).unlink()
        (run / name).mkdir()
        with pytest.raises(UserError, match=name):
            command([str(run)])
