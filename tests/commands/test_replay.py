"""``r1ray replay``: the list of steps, and what is refused before a learner is started."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from r1ray.main import main
from r1ray.stages import replay
from r1ray.stages.replay import Compared
from tests.stages.logged import write_log


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return write_log(tmp_path / "mine", steps=(1, 2, 3), saved=(1, 3))


def test_without_a_step_those_that_can_be_replayed_are_listed(
    run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(run_dir)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{run_dir}: 2 of 3 logged steps can be replayed",
        "Steps that can be replayed: 1, 2.",
    ]
    assert main(["replay", str(run_dir), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"run": str(run_dir), "logged": 3, "steps": [1, 2]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["step=3"], r"step=3: needs the checkpoint of step 2.*Steps that can be replayed: 1, 2\."),
        (["step=0"], "step=0: needs the number of a step, at least 1"),
        (["step=last"], "step=last: needs the number of a step"),
        (["step="], "step: needs a value"),
        (["stage=sft"], "stage=sft: .* has no such stage"),
        (["steps=2"], "steps=2: replay has no such key; it has step, stage"),
        (["more"], "replay needs one RUN_DIR, found 2"),
        (["step=2"], "model=/models/base: no such folder"),
        (["--js"], "--js: no such flag; the nearest is --json"),
    ],
)
def test_what_cannot_be_replayed_is_refused_in_a_sentence(
    run_dir: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["replay", str(run_dir), *arguments]) == 2
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.parametrize(("replayed", "code"), [(1.0, 0), (1.5, 1)])
def test_the_table_says_where_the_step_differs_and_so_does_the_exit_code(
    run_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, replayed: float, code: int
) -> None:
    compared = [Compared("loss/total", 0.25, 0.25, 0.01), Compared("grad_norm", 1.0, replayed, 0.01)]
    monkeypatch.setattr(replay, "replay_step", lambda log, source: compared)
    assert main(["replay", str(run_dir), "step=2"]) == code
    first, header, same, norm, last = capsys.readouterr().out.splitlines()
    assert first == f"step 2 of {run_dir}, from checkpoint 1"
    assert header.split() == ["key", "logged", "replayed", "difference", "allowed"]
    assert same.split() == ["loss/total", "0.25", "0.25", "0", "0.01"]
    assert norm.endswith("differs") == bool(code)
    assert last == ("step 2 differs in grad_norm" if code else "step 2 agrees with what was logged")
    assert main(["replay", str(run_dir), "step=2", "--json"]) == code
    shown = json.loads(capsys.readouterr().out)
    assert shown["agrees"] == (not code) and shown["from"] == "checkpoint 1"
    assert shown["metrics"]["grad_norm"] == {
        **{"logged": 1.0, "replayed": replayed, "difference": replayed - 1.0, "allowed": 0.01},
        **{"agrees": not code},
    }
