"""MLflow: a run for each stage, tagged with the run that it is of; at ``MLFLOW_TRACKING_URI``, or in a file of SQLite
in ``output_dir/trackers``.

    mlflow ui --backend-store-uri sqlite:///runs/trackers/mlflow.db
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from r1ray.telemetry.trackers.tracker import COLUMNS, TABLE, Line, Place, Samples, Stage

REFUSED = re.compile(r"[^\w\-. :/]")
"""Characters that MLflow does not have in a name."""
MAX_METRICS, MAX_PARAMS = 1000, 100
"""Most of a request."""
MAX_VALUE = 5000


class ToMLflow:
    """See :class:`r1ray.telemetry.trackers.tracker.Tracker`."""

    def __init__(self, place: Place) -> None:
        self._place, self._artifacts = place, None
        if not os.environ.get("MLFLOW_TRACKING_URI"):
            place.shared.mkdir(parents=True, exist_ok=True)
            os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{place.shared / 'mlflow.db'}"
            self._artifacts = (place.shared / "mlflow").as_uri()
        self._client = MlflowClient()

    def begin(self, stage: Stage, id: str, *, sent: int) -> str:
        if id:
            self._id = id
            self._client.update_run(id, status="RUNNING")
            return id
        tags = {"r1ray.run": stage.run, "r1ray.stage": stage.name}
        tags |= {f"r1ray.input.{name}": where for name, where in stage.inputs.items()}
        made = self._client.create_run(self._experiment(), run_name=stage.title, tags=tags)
        self._id = str(made.info.run_id)
        params = [Param(name, value[:MAX_VALUE]) for name, value in _flat(stage.config)]
        for start in range(0, len(params), MAX_PARAMS):
            self._client.log_batch(self._id, params=params[start : start + MAX_PARAMS])
        return self._id

    def log(self, lines: Sequence[Line]) -> None:
        metrics = [
            Metric(name_in_mlflow(name), value, round(line.wall_time * 1000), line.step)
            for line in lines
            for name, value in line.metrics.items()
        ]
        for start in range(0, len(metrics), MAX_METRICS):
            self._client.log_batch(self._id, metrics=metrics[start : start + MAX_METRICS])

    def go_back(self, step: int) -> None:
        self._client.log_batch(self._id, tags=[RunTag("r1ray.undone_after_step", str(step))])

    def show(self, samples: Samples) -> None:
        table = {"columns": list(COLUMNS), "data": [list(row) for row in samples.rows]}
        self._client.log_dict(self._id, table, f"{TABLE}/step={samples.step:06d}.json")

    def note_model(self, step: int, folder: Path) -> None:
        tags = {"r1ray.model": str(folder), "r1ray.model_step": str(step)}
        self._client.log_batch(self._id, tags=[RunTag(name, value) for name, value in tags.items()])

    def end(self) -> None:
        self._client.set_terminated(self._id)

    def _experiment(self) -> str:
        name = self._place.settings.project
        found = self._client.get_experiment_by_name(name)
        return str(found.experiment_id if found else self._client.create_experiment(name, self._artifacts))


def name_in_mlflow(name: str) -> str:
    """Return a metric's name as MLflow takes it.

    >>> name_in_mlflow("eval/aime/pass@1")
    'eval/aime/pass_at_1'
    """
    return REFUSED.sub("_", name.replace("@", "_at_"))


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, each in value.items():
            yield from _flat(each, f"{prefix}.{key}" if prefix else str(key))
    elif prefix:
        yield REFUSED.sub("_", prefix)[:240], str(value)
