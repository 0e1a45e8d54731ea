from __future__ import annotations

import errno
import threading
from pathlib import Path

import pytest

from r1ray.runtime import disk
from r1ray.runtime.disk import why_not, written_with_room
from tests.small_disk import fill, small_disk


def test_nothing_keeps_a_file_from_being_written_and_none_is_left(tmp_path: Path) -> None:
    assert why_not(tmp_path / "a") is None
    assert [*(tmp_path / "a").iterdir()] == []


def test_a_path_below_a_file_is_no_folder_to_write_in(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert isinstance(why_not(tmp_path / "file" / "a"), NotADirectoryError)


def test_more_bytes_than_are_free_are_no_room(tmp_path: Path) -> None:
    fault = why_not(tmp_path, needs=1 << 62)
    assert fault is not None and fault.errno == errno.ENOSPC


def test_what_finds_no_room_is_written_when_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "POLL_S", 0.01)
    with small_disk(tmp_path) as folder:
        timer = threading.Timer(0.1, fill(folder).unlink)
        timer.start()
        written_with_room(folder, lambda: (folder / "rows").write_bytes(b"\0" * (1 << 17)))
        timer.join()
        assert (folder / "rows").stat().st_size == 1 << 17


def test_what_fails_for_another_reason_is_not_tried_again(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        written_with_room(tmp_path, lambda: 1 // 0)
