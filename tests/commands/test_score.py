from __future__ import annotations

import json
from pathlib import Path

import pytest

from r1ray.main import main

ROW = {"id": "1", "check": {"type": "math", "answer": "2"}, "response": "It is $\\boxed{2}$."}


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(ROW) + "\n")
    return path


def test_the_file_may_stand_behind_overrides_and_have_an_equals_sign(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, rows: Path
) -> None:
    named = rows.rename(tmp_path / "rows=1.jsonl")
    assert main(["score", "reward=check", str(named)]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["score"] == 1.0
    assert printed.err.startswith("r1ray: 1 scored; mean score 1.0000")


def test_a_folder_in_the_place_of_the_output_is_kept(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, rows: Path
) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "work").write_text("of months")
    assert main(["score", str(rows), f"output={tmp_path / 'kept'}"]) == 2
    assert "cannot be written: needs the path of a file" in capsys.readouterr().err
    assert (tmp_path / "kept" / "work").read_text() == "of months"


def test_a_mistake_leaves_the_old_output_and_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "old.jsonl").write_text("old")
    (tmp_path / "rows.jsonl").write_text("no JSON")
    assert main(["score", str(tmp_path / "rows.jsonl"), f"output={tmp_path / 'old.jsonl'}"]) == 2
    assert (tmp_path / "old.jsonl").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old.jsonl", "rows.jsonl"]


@pytest.mark.parametrize(
    "word", ["environment.command=[python, x.py]", "environment=agent", "+environment.worlds.a={}"]
)
def test_an_environment_is_refused_since_none_is_run(capsys: pytest.CaptureFixture[str], rows: Path, word: str) -> None:
    assert main(["score", str(rows), word]) == 2
    assert f"r1ray: {word}: score runs no environment, nor an agent's command" in capsys.readouterr().err


def test_rows_without_what_an_environment_gives_are_counted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    in_world = ROW | {"environment": "agent"}
    path.write_text(
        "".join(json.dumps(row) + "\n" for row in (ROW, in_world, in_world | {"final_rewards": {"judge": 1.0}}))
    )
    part = "+reward.parts.judge={weight: 1.0, from_environment: true}"
    assert main(["score", str(path), part]) == 0
    printed = capsys.readouterr()
    assert [json.loads(line)["parts"].get("judge") for line in printed.out.splitlines()] == [None, None, 1.0]
    assert "reward.parts.judge.from_environment=true: 2 of 3 rows that were scored do not have it" in printed.err
