from __future__ import annotations

import io
import logging
import sys

import pytest

from r1ray.data import reading_progress
from r1ray.data.reading_progress import LOOKED_AT, ReadingProgress
from r1ray.runtime.advance import under_way


class Half:
    share_read = 0.5


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(reading_progress.time, "monotonic", lambda: now[0])
    return now


def read(progress: ReadingProgress, *, num_rows: int = LOOKED_AT) -> None:
    for _ in range(num_rows):
        progress.note(Half())


def test_a_line_now_and_then_says_how_far_it_is(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="r1ray")
    with ReadingProgress("data.train", sizes=[100, 300]) as progress:
        read(progress)
        assert caplog.text == "", "what ends at once is not spoken of"
        clock[0] = 16.0
        read(progress)
        progress.end_file()
        clock[0] = 40.0
        read(progress)
        assert [(each.what, each.done) for each in under_way()] == [("reading data.train", 0.625)]
    assert under_way() == []
    assert "data.train: 2048 rows are read, 12% of the files" in caplog.text
    assert "data.train: 3072 rows are read, 62% of the files" in caplog.text


def test_a_terminal_has_a_bar(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with ReadingProgress("data.train", sizes=[100]) as progress:
        clock[0] = 4.0
        read(progress)
    assert "reading data.train" in terminal.getvalue() and "1024 rows" in terminal.getvalue()
