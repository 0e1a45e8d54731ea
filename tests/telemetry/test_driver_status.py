from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from r1ray.errors import R1RayError, Terminated, UserError
from r1ray.runtime.own_process import LOG, own
from r1ray.telemetry.driver_status import LEAST_S, SlowSteps, begin_stage, end_step, end_steps, told
from r1ray.telemetry.metrics import append_row
from r1ray.telemetry.run_status import last_end, read_status
from r1ray.telemetry.timeline import read_events

ROW = {"step": 7, "policy_version": 8, "ledger/issued": 32}


@pytest.mark.parametrize(
    ("error", "ended"),
    [
        (None, "done"),
        (R1RayError("the learner is gone"), "failed: R1RayError: the learner is gone"),
        (KeyboardInterrupt(), "interrupted"),
        (Terminated("stopped after step 3; the same command goes on"), "stopped after step 3"),
    ],
)
def test_a_run_that_ended_says_how(tmp_path: Path, error: BaseException | None, ended: str) -> None:
    try:
        with told(tmp_path):
            begin_stage("rl", tmp_path)
            if error is not None:
                raise error
    except BaseException as raised:
        assert raised is error
    status = read_status(tmp_path)
    assert status.driver["state"] == status.actors[0].state == "ended"
    assert status.actors[0].last_error.startswith(ended)
    assert len(status.actors) == 1 and ended in "\n".join(status.lines())
    assert own() is None


def test_of_a_run_that_failed_the_errors_of_its_processes_are_left(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "learner-rank-0.log"
    program = "from r1ray.runtime.own_process import join, own\njoin()\nown().write()\nraise ValueError('planted')"
    with pytest.raises(R1RayError), told(tmp_path):
        begin_stage("rl", tmp_path)
        subprocess.run([sys.executable, "-c", program], env=os.environ | {LOG: str(log)}, check=False)
        raise R1RayError("a learner rank died")
    (driver, rank) = read_status(tmp_path).actors
    assert (driver.state, rank.state, rank.last_error) == ("ended", "dead", "ValueError: planted")
    assert "R1RayError: a learner rank died" in (tmp_path / "logs" / "driver-0.log").read_text()


def test_a_driver_that_was_killed_is_dead_and_its_last_state_is_kept(tmp_path: Path) -> None:
    program = f"""
import os, signal
from pathlib import Path
from r1ray.runtime.activity import waiting
from r1ray.telemetry import driver_status
with driver_status.told(Path({str(tmp_path)!r})):
    driver_status.begin_stage("rl", Path({str(tmp_path)!r}))
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", program], check=False)
    status = read_status(tmp_path)
    assert (status.driver["state"], status.stage) == ("dead", "rl")
    assert "it was killed" in status.actors[0].last_error
    assert last_end(tmp_path) == "killed"


def test_a_folder_that_cannot_be_written_to_is_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file")
    with pytest.raises(UserError, match=r"driver-0\.log cannot be written to"), told(tmp_path):
        pass
    assert own() is None


def test_a_finished_run_that_is_started_again_keeps_its_stage(tmp_path: Path) -> None:
    with told(tmp_path):
        begin_stage("rl", tmp_path)
    append_row(tmp_path / "metrics.jsonl", ROW)
    with told(tmp_path):
        pass
    assert (read_status(tmp_path).stage, read_status(tmp_path).step) == ("rl", 7)


def test_a_command_that_goes_on_after_one_that_did_not_end_well_is_an_event(tmp_path: Path) -> None:
    for error in (None, KeyboardInterrupt(), None):
        with suppress(KeyboardInterrupt), told(tmp_path):
            begin_stage("rl", tmp_path)
            if error is not None:
                raise error
    events = read_events(tmp_path).to_pylist()
    assert [each["detail"] for each in events if each["kind"] == "resume"] == ["the command before: interrupted"]


def test_a_step_of_three_times_the_last_ones_is_slow_once() -> None:
    steps, now = SlowSteps(), 0.0
    for seconds in (100.0, *[10.0] * 10):
        now += seconds
        assert steps.is_slow(now=now) is None
        steps.ended(seconds, now=now)
    assert steps.is_slow(now=now + 29.9) is None
    assert steps.is_slow(now=now + 30.1) == 10.0, "the eleventh is forgotten"
    assert steps.is_slow(now=now + 500.0) is None
    steps.ended(500.0, now=now + 500.0)
    assert steps.is_slow(now=now + 600.0) is None
    assert steps.is_slow(now=now + 700.0) == 59.0


def test_short_steps_and_the_first_ones_are_not_slow() -> None:
    steps = SlowSteps()
    for _ in range(2):
        steps.ended(1.0, now=0.0)
    assert steps.is_slow(now=1e6) is None
    steps.ended(1.0, now=0.0)
    assert steps.is_slow(now=LEAST_S - 0.1) is None
    assert steps.is_slow(now=LEAST_S) == 1.0


def test_a_slow_step_shows_the_status_by_itself(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("r1ray.telemetry.driver_status.LEAST_S", 0.0)
    append_row(tmp_path / "metrics.jsonl", ROW)
    with told(tmp_path):
        begin_stage("rl", tmp_path)
        for _ in range(3):
            end_step({"step": 1.0, "time/step_s": 0.1})
        end_step({"step": 2.0, "eval/heldout/pass@1": 0.5})  # an evaluation's line ends no step
        deadline = time.monotonic() + 20
        while not said:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert "3 times as long" in said[0] and "driver 0" in said[0] and "policy version 8" in said[0]


def test_when_the_steps_are_over_none_is_slow_and_actors_that_ended_are_not_dead(tmp_path: Path) -> None:
    with told(tmp_path):
        begin_stage("rl", tmp_path)
        (tmp_path / "logs" / "learner-rank-0.json").write_text((tmp_path / "status.json").read_text())
        end_steps()
        assert [each.role for each in read_status(tmp_path).actors] == ["driver"]
