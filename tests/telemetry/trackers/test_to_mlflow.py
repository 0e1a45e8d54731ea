"""MLflow in a file of SQLite, as its own client reads it."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from r1ray.config import TrackingConfig
from r1ray.telemetry.trackers.follower import Follower
from r1ray.telemetry.trackers.sent import Sent
from r1ray.telemetry.trackers.tracker import Place
from tests.telemetry.trackers.planted import HOSTILE, plant, plant_answers

for package in ("mlflow", "sqlalchemy", "alembic"):
    pytest.importorskip(package, reason="the extra mlflow is not installed")
pytestmark = pytest.mark.long


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")


def follow(run: Path) -> None:
    """Feed what is new, as a helper process that has just started."""
    place = Place(run, TrackingConfig(project="tests", samples=2))
    tracker = importlib.import_module("r1ray.telemetry.trackers.to_mlflow").ToMLflow(place)
    following = Follower(tracker, Sent(run, "mlflow"), place)
    while following.look():
        pass
    following.end()


def read(output_dir: Path) -> tuple[Any, dict[str, Any]]:
    """Return a client, and the runs of the experiment by their names."""
    client = importlib.import_module("mlflow").MlflowClient(f"sqlite:///{output_dir}/trackers/mlflow.db")
    experiment = client.get_experiment_by_name("tests").experiment_id
    return client, {run.info.run_name: run for run in client.search_runs([experiment])}


def test_metrics_answers_and_models_are_in_one_run_that_is_gone_on_with(tmp_path: Path) -> None:
    run = tmp_path / "mine"
    (run / "config.yaml").parent.mkdir()
    (run / "config.yaml").write_text("steps: 3\nalgo: {group_size: 8}\n")
    plant(run, [0, 1], metrics={"eval/held/pass@1": 0.5, "odd": float("nan")})
    plant_answers(run, 0)
    follow(run)
    plant(run, [2])
    (run / "hf" / "2").mkdir(parents=True)
    follow(run)
    client, runs = read(tmp_path)
    [(name, found)] = runs.items()
    id = found.info.run_id
    assert (name, found.info.status) == ("mine/rl", "FINISHED")
    history = client.get_metric_history(id, "reward/mean")
    assert [(each.step, each.value) for each in history] == [(0, 0.0), (1, 0.1), (2, 0.2)]
    assert client.get_metric_history(id, "eval/held/pass_at_1")[0].value == 0.5
    assert found.data.params["algo.group_size"] == "8"
    assert found.data.tags["r1ray.model"] == str(run / "hf" / "2")
    [artifact] = client.list_artifacts(id, "samples")
    table = json.loads(Path(client.download_artifacts(id, artifact.path, str(tmp_path))).read_text())
    assert table["data"][0][:3] == ["prompt 0", f"{HOSTILE} 0.0", 0.5]


def test_the_stages_of_a_recipe_have_a_tag_in_common_and_name_what_they_read(tmp_path: Path) -> None:
    run = tmp_path / "r1"
    plant(run / "stages" / "warm_up", [0], stage="sft")
    plant(run / "stages" / "reasoning", [0])
    (run / "stages" / "reasoning" / "config.yaml").write_text(f"model: {run}/stages/warm_up/hf/0\n")
    follow(run)
    _, runs = read(tmp_path)
    assert {name: found.data.tags["r1ray.run"] for name, found in runs.items()} == {
        "r1/warm_up": "r1",
        "r1/reasoning": "r1",
    }
    assert runs["r1/reasoning"].data.tags["r1ray.input.warm_up"] == runs["r1/warm_up"].info.run_id
