"""Helper processes of a real tracker, and of servers that are not there."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from r1ray.config import TrackingConfig
from r1ray.telemetry.driver_status import told
from r1ray.telemetry.metric_table import metric_of
from r1ray.telemetry.trackers import process, supervision
from r1ray.telemetry.trackers.supervision import Trackers, counts, tracked
from tests.telemetry.trackers.planted import plant

PATIENCE_S = 60.0
SECRET = "0123456789abcdef0123456789abcdef01234567"


KILLED = """
import os, sys, time
from pathlib import Path
from r1ray.config import TrackingConfig
from r1ray.telemetry.trackers.supervision import tracked
from tests.telemetry.trackers.planted import plant

run = Path(sys.argv[1])
plant(run, [0])
with tracked(run, ["tensorboard"], TrackingConfig()):
    while not (run / "trackers" / "tensorboard.json").exists():
        time.sleep(0.1)
    plant(run, [1, 2])
    os._exit(9)
"""
"""A driver that ends without a word, after its tracker has begun."""


def needs(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_spec(package) is None, reason=f"{package} is not installed")


def await_that(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.05)


def sent(run: Path, name: str) -> int:
    """Return the last step that a tracker has got."""
    path = run / "trackers" / f"{name}.json"
    return int(json.loads(path.read_text())[""]["step"]) if path.exists() else -1


def process_of(trackers: Trackers) -> int:
    [helper] = trackers._helpers
    return helper._process.pid if helper._process is not None else 0


def test_without_trackers_there_is_no_thread_and_no_count(tmp_path: Path) -> None:
    with tracked(tmp_path, [], TrackingConfig()):
        assert counts() == {}
        assert supervision._current is None


def test_a_run_without_metrics_starts_no_process_and_ends_at_once(tmp_path: Path) -> None:
    began = time.monotonic()
    with tracked(tmp_path, ["tensorboard"], TrackingConfig()):
        pass
    assert time.monotonic() - began < 5
    assert not (tmp_path / "trackers").exists()


@needs("tensorboard")
def test_all_lines_have_been_sent_when_a_run_has_ended(tmp_path: Path) -> None:
    with told(tmp_path), tracked(tmp_path, ["tensorboard"], TrackingConfig(end_s=PATIENCE_S)):
        plant(tmp_path, range(700))
    assert sent(tmp_path, "tensorboard") == 699
    assert "tracker-0: process" in (tmp_path / "logs" / "tracker-0.log").read_text()


@needs("tensorboard")
@pytest.mark.faults
@pytest.mark.long
def test_a_helper_that_is_killed_is_started_again_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(process, "FIRST_PAUSE_S", 0.1)
    plant(tmp_path, [0])
    with told(tmp_path), tracked(tmp_path, ["tensorboard"], TrackingConfig(end_s=PATIENCE_S)):
        trackers = supervision._current
        assert trackers is not None
        await_that(lambda: sent(tmp_path, "tensorboard") == 0)
        os.kill(process_of(trackers), signal.SIGKILL)
        plant(tmp_path, [1])
        await_that(lambda: sent(tmp_path, "tensorboard") == 1)
        assert counts()["faults/tracker"] == 1
        assert all(metric_of(name) for name in counts())
    assert "its process has ended (code -9)" in caplog.text


@needs("tensorboard")
@pytest.mark.faults
@pytest.mark.long
def test_a_helper_that_stands_still_holds_the_end_for_the_bound_and_what_it_lacks_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plant(tmp_path, [0])
    settings = TrackingConfig(end_s=2.0)
    with told(tmp_path), tracked(tmp_path, ["tensorboard"], settings):
        trackers = supervision._current
        assert trackers is not None
        await_that(lambda: sent(tmp_path, "tensorboard") == 0)
        pid = process_of(trackers)
        os.kill(pid, signal.SIGSTOP)
        plant(tmp_path, [1, 2])
        began = time.monotonic()
    assert 2 <= time.monotonic() - began < 10
    assert "tracker tensorboard: 2 lines of metrics were not sent within tracking.end_s=2" in caplog.text
    assert not Path(f"/proc/{pid}").exists()
    with told(tmp_path), tracked(tmp_path, ["tensorboard"], TrackingConfig(end_s=PATIENCE_S)):
        pass  # the same command
    assert sent(tmp_path, "tensorboard") == 2


@pytest.mark.faults
@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "environment"),
    [
        pytest.param("wandb", {"WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_API_KEY": SECRET}, marks=needs("wandb")),
        pytest.param("mlflow", {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}, marks=needs("mlflow")),
    ],
)
def test_a_server_that_is_not_there_holds_nobody_up(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
    environment: dict[str, str],
) -> None:
    caplog.set_level(logging.WARNING)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(supervision, "COUNT_S", 1.0)
    with told(tmp_path), tracked(tmp_path, [name], TrackingConfig(end_s=3.0)):
        for step in range(3):
            plant(tmp_path, [step])
        await_that(lambda: counts().get(f"tracker/{name}/unsent") == 3)
        time.sleep(5)  # its library is waiting by then
        began = time.monotonic()
    assert time.monotonic() - began < 10
    assert f"tracker {name}: 3 lines of metrics were not sent" in caplog.text
    written = [path for path in tmp_path.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert written == []


@needs("tensorboard")
@pytest.mark.faults
@pytest.mark.long
def test_the_helper_of_a_driver_that_is_killed_sends_the_rest_and_ends(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], timeout=PATIENCE_S)
    assert done.returncode == 9
    await_that(lambda: sent(tmp_path, "tensorboard") == 2)
    await_that(lambda: not any(str(tmp_path) in " ".join(each.info["cmdline"] or ()) for each in processes()))


def processes() -> list[psutil.Process]:
    return list(psutil.process_iter(["cmdline"]))
