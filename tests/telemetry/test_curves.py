from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from r1ray.telemetry.curves import Curves, draw
from r1ray.telemetry.metrics import append_row

PNG = b"\x89PNG\r\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    append_row(tmp_path / "metrics.jsonl", {"step": 0, "policy_version": 0, "eval/pass@1": 0.25})
    append_row(tmp_path / "metrics.jsonl", {"step": 1, "policy_version": 1, "reward/mean": 0.5})
    return tmp_path


def test_a_process_of_its_own_draws_what_is_logged(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    curves = Curves(folder)
    begun = time.monotonic()
    curves.redraw()
    assert time.monotonic() - begun < 0.5, "the caller does not wait for it"
    curves.finish()
    assert (folder / "curves.png").read_bytes().startswith(PNG)
    assert sorted(path.name for path in folder.iterdir()) == ["curves.png", "metrics.jsonl"]
    assert caplog.messages == []


def test_what_falls_due_during_a_drawing_is_drawn_once_after_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    def note(curves: Curves) -> None:
        time.sleep(0.05)
        drawn.append(len((folder / "metrics.jsonl").read_text().splitlines()))

    monkeypatch.setattr(Curves, "_draw", note)
    curves = Curves(folder)
    curves.redraw()
    time.sleep(0.02)
    append_row(folder / "metrics.jsonl", {"step": 2})
    for _ in range(5):
        curves.redraw()
    curves.finish()
    assert len(drawn) == 2 and drawn[-1] == 3


@pytest.mark.long
def test_a_drawing_that_takes_too_long_or_fails_is_said_and_the_last_picture_stays(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    draw(folder)
    before = (folder / "curves.png").read_bytes()
    with caplog.at_level(logging.WARNING):
        Curves(folder, draw_s=0.01).finish()
        (folder / "metrics.jsonl").write_text('nothing\n{"step": 1}\n')
        Curves(folder).finish()
    assert len(caplog.messages) == 2 and all("curves.png was not drawn" in text for text in caplog.messages)
    assert (folder / "curves.png").read_bytes() == before
