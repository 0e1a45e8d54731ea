from __future__ import annotations

import json
from pathlib import Path

import pytest

from r1ray.errors import UserError
from r1ray.telemetry.metrics import MetricsFile, append_row, last_row, read_rows, rewind_rows
from tests.small_disk import fill, small_disk


def test_one_object_a_step_and_counts_are_whole_numbers(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "metrics.jsonl", stage="rl")
    file.append({"step": 1.0, "ledger/issued": 32.0, "reward/mean": 0.5})
    (line,) = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert '"step": 1,' in line and '"ledger/issued": 32,' in line
    assert json.loads(line)["stage"] == "rl"


@pytest.mark.faults
def test_a_line_that_a_crash_cut_off_is_left_out(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "metrics.jsonl", stage="rl")
    file.append({"step": 1.0})
    with file.path.open("a") as raw:
        raw.write('{"step": 2, "rew')
    assert [row["step"] for row in file.read()] == [1]


def test_a_resumed_run_forgets_what_it_will_write_again(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "metrics.jsonl", stage="rl")
    for step in range(5):
        file.append({"step": float(step)})
    file.rewind(2)
    assert [row["step"] for row in file.read()] == [0, 1, 2]
    file.rewind(-1)
    assert file.read() == []


@pytest.mark.faults
def test_a_line_may_be_cut_off_within_a_character(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    append_row(path, {"step": 1, "text": "不对\u2028\r\x85"})
    path.write_bytes(path.read_bytes() + '{"step": 2, "text": "不'.encode()[:-1])
    assert read_rows(path) == [{"step": 1, "text": "不对\u2028\r\x85"}]
    rewind_rows(path, 5)
    append_row(path, {"step": 2})
    assert [row["step"] for row in read_rows(path)] == [1, 2]


def test_a_file_that_is_not_there_has_no_rows_and_is_not_made(tmp_path: Path) -> None:
    rewind_rows(tmp_path / "rows.jsonl", 0)
    assert read_rows(tmp_path / "rows.jsonl") == []
    assert list(tmp_path.iterdir()) == []


def test_the_last_row_is_of_the_last_step_whatever_else_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert last_row(path) == {}
    append_row(path, {"step": 0, "eval/heldout/pass@1": 0.5})
    assert last_row(path)["step"] == 0
    append_row(path, {"step": 3, "time/step_s": 1.0})
    append_row(path, {"step": 2, "eval/heldout/pass@1": 0.5})  # an evaluation beside training
    with path.open("a") as file:
        file.write('5\n[]\n{"stage": "rl"}\n{"step": 4, "time/ste')
    assert last_row(path) == {"step": 3, "time/step_s": 1.0}


ODD = ["5", "[]", "null", '{"stage": "rl"}', '{"step": "1"}', '{"step": true}', '{"step": 2, "rew', "\0\0\0", ""]


@pytest.mark.parametrize("line", ODD)
def test_an_odd_line_between_others_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{{"step": 0}}\n{line}\n{{"step": 2}}\n')
    for read in (read_rows, lambda path: rewind_rows(path, 9)):
        with pytest.raises(UserError, match=r"metrics.jsonl, line 2: .* is no line of a step.*remove it"):
            read(path)


@pytest.mark.parametrize("line", ODD)
def test_odd_lines_at_the_end_are_dropped_and_counted(
    tmp_path: Path, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{{"step": 0}}\n{{"step": 1}}\n{line}\n{line}\n')
    rewind_rows(path, 9)
    assert path.read_text() == '{"step": 0}\n{"step": 1}\n'
    assert caplog.messages == [f"{path}: 2 torn lines at its end dropped"]


def test_a_line_for_which_there_is_no_room_is_not_written_by_half(tmp_path: Path) -> None:
    with small_disk(tmp_path, mib=1) as folder:
        path = folder / "metrics.jsonl"
        append_row(path, {"step": 1})
        filler = fill(folder)
        with pytest.raises(OSError, match="No space"):
            append_row(path, {"step": 2, "text": "x" * (1 << 16)})
        filler.unlink()
        append_row(path, {"step": 2})
        assert path.read_text() == '{"step": 1}\n{"step": 2}\n'
