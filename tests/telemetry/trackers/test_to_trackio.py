"""Trackio's own file, read as SQLite. A process is needed for each look: Trackio reads where to write once."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.telemetry.trackers.planted import plant, plant_answers

pytest.importorskip("trackio", reason="the extra trackio is not installed")
pytestmark = pytest.mark.long
PROGRAM = """
import sys
from pathlib import Path
from r1ray.config import TrackingConfig
from r1ray.telemetry.trackers.follower import Follower
from r1ray.telemetry.trackers.sent import Sent
from r1ray.telemetry.trackers.to_trackio import ToTrackio
from r1ray.telemetry.trackers.tracker import Place

run = Path(sys.argv[1])
place = Place(run, TrackingConfig(project="tests", samples=2))
following = Follower(ToTrackio(place), Sent(run, "trackio"), place)
while following.look():
    pass
following.end()
"""


def follow(run: Path) -> None:
    """Feed what is new, in a process of its own."""
    subprocess.run([sys.executable, "-c", PROGRAM, str(run)], check=True, timeout=120, capture_output=True)


def rows(output_dir: Path) -> list[tuple[str, int, dict[str, object]]]:
    """Return run, step and metrics of what is stored, in its order."""
    [path] = output_dir.glob("trackers/trackio/tests*.db")
    with sqlite3.connect(path) as store:
        found = store.execute("SELECT run_name, step, metrics FROM metrics ORDER BY id").fetchall()
    return [(name, step, json.loads(metrics)) for name, step, metrics in found]


def test_metrics_answers_and_models_are_in_one_run_that_is_gone_on_with(tmp_path: Path) -> None:
    run = tmp_path / "mine"
    plant(run, [0, 1], metrics={"eval/held/pass@1": 0.5})
    plant_answers(run, 0)
    follow(run)
    plant(run, [2])
    (run / "hf" / "2").mkdir(parents=True)
    follow(run)
    found = rows(tmp_path)
    assert len({name for name, _, _ in found}) == 1 and found[0][0].startswith("mine-rl-")
    assert [step for _, step, metrics in found if "reward/mean" in metrics] == [0, 1, 2]
    assert found[0][2]["eval/held/pass@1"] == 0.5
    assert [step for _, step, metrics in found if "samples" in metrics] == [0]
    assert [metrics["model"] for _, _, metrics in found if "model" in metrics] == [str(run / "hf" / "2")]
