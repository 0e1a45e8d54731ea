from __future__ import annotations

import math
from pathlib import Path

import pytest

from r1ray.telemetry.metrics import rewind_rows
from r1ray.telemetry.trackers import lines
from r1ray.telemetry.trackers.lines import Mark, count_on, read_on
from tests.telemetry.trackers.planted import plant


def test_lines_are_read_once_and_with_their_numbers_alone(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    plant(tmp_path, [0, 1], metrics={"odd": math.nan})
    first = read_on(path, Mark())
    assert [line.step for line in first.lines] == [0, 1]
    assert set(first.lines[1].metrics) == {"policy_version", "reward/mean", "odd"}
    assert first.kept is None
    assert read_on(path, first.mark).lines == []
    plant(tmp_path, [2])
    assert [line.step for line in read_on(path, first.mark).lines] == [2]


def test_the_beginning_of_a_line_waits_for_its_end_and_an_odd_line_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('nonsense\n["list"]\n{"step": 1, "wall_time": 5.0, "a": 1}\n{"step": 2, "wall')
    read = read_on(path, Mark())
    assert [line.step for line in read.lines] == [1]
    with path.open("a") as file:
        file.write('_time": 6.0, "a": 2}\n')
    assert [line.metrics for line in read_on(path, read.mark).lines] == [{"a": 2.0}]


@pytest.mark.parametrize("again", [[], [4], [4, 5, 6, 7, 8, 9]])
def test_lines_that_were_taken_back_are_seen_however_many_came_in_their_place(tmp_path: Path, again: list[int]) -> None:
    path = tmp_path / "metrics.jsonl"
    plant(tmp_path, range(7))
    mark = read_on(path, Mark()).mark
    rewind_rows(path, 3)
    plant(tmp_path, again)
    read = read_on(path, mark)
    assert read.kept == 3
    assert [line.step for line in read.lines] == again
    assert read_on(path, read.mark) == lines.Read([], read.mark)


def test_a_file_that_was_begun_anew_has_no_step_that_stands(tmp_path: Path) -> None:
    plant(tmp_path, range(3))
    mark = read_on(tmp_path / "metrics.jsonl", Mark()).mark
    (tmp_path / "metrics.jsonl").unlink()
    plant(tmp_path, [0])
    read = read_on(tmp_path / "metrics.jsonl", mark)
    assert (read.kept, [line.step for line in read.lines]) == (-1, [0])


def test_only_so_many_lines_are_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "AT_ONCE", 2)
    plant(tmp_path, range(5))
    path, mark, sizes = tmp_path / "metrics.jsonl", Mark(), []
    while (read := read_on(path, mark)).lines:
        sizes.append(len(read.lines))
        mark = read.mark
        assert count_on(path, mark.end) == 5 - sum(sizes)
    assert sizes == [2, 2, 1]


def test_a_file_that_is_not_there_has_no_lines_to_count(tmp_path: Path) -> None:
    assert count_on(tmp_path / "none", 0) == 0
