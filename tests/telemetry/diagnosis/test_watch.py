from __future__ import annotations

import logging
from pathlib import Path

import pytest

from r1ray.telemetry.diagnosis.watch import DiagnosisWatch
from tests.telemetry.diagnosis.planted_runs import PLANTED
from tests.telemetry.diagnosis.recorded import planted, recorded


@pytest.fixture
def watch(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> DiagnosisWatch:
    caplog.set_level(logging.WARNING)
    return DiagnosisWatch([], settings=recorded()[0], rollouts=tmp_path)


def test_each_finding_is_said_once_in_a_line(watch: DiagnosisWatch, caplog: pytest.LogCaptureFixture) -> None:
    for row in planted(PLANTED["truncated"]):
        watch.note(row)
    watch.say()
    (message,) = caplog.messages
    assert message.startswith("diagnosis: The length limit cuts 40% ") and "\n" not in message


def test_a_run_is_looked_at_after_an_evaluation(watch: DiagnosisWatch, caplog: pytest.LogCaptureFixture) -> None:
    rows = planted(PLANTED["truncated"])
    for row in rows[6:10]:
        watch.note(row)
    assert caplog.messages == []
    watch.note(rows[11] | {"eval/heldout/pass@1": 0.2})
    assert len(caplog.messages) == 1


def test_steps_that_are_undone_are_forgotten(watch: DiagnosisWatch, caplog: pytest.LogCaptureFixture) -> None:
    rows = planted(PLANTED["truncated"])
    for row in [*rows[6:10], rows[11]]:
        watch.note(row)
    watch.forget(8)
    watch.say()
    assert caplog.messages == []


def test_a_run_without_evaluations_is_told_at_its_fifth_step(
    watch: DiagnosisWatch, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [row for row in planted(PLANTED["truncated"]) if "time/step_s" in row]
    for row in rows[:4]:
        watch.note(row)
    assert caplog.messages == []
    watch.note(rows[4])
    assert len(caplog.messages) == 1
