from __future__ import annotations

import time
from pathlib import Path

import pytest

from r1ray.stages import told_sample
from r1ray.stages.told_sample import tell_sample
from tests.evaluation.test_shown_answers import keep


def test_a_sample_is_told_once_the_log_has_it(tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told_sample, "POLL_S", 0.02)
    waiting = tell_sample(tmp_path, 2)
    time.sleep(0.05)
    assert said == []
    keep(tmp_path, 2, [("4", 1.0)])
    waiting.join(10)
    assert len(said) == 1 and "question p0: reward 1.000" in said[0]


def test_nobody_waits_for_ever_or_fails_for_want_of_a_sample(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(told_sample, "WAIT_S", 0.1)
    tell_sample(tmp_path / "none", 2).join(10)
    (tmp_path / "eval_step=000002.parquet").write_bytes(b"torn")
    tell_sample(tmp_path, 2).join(10)
    assert said == []
