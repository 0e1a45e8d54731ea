"""A run's metrics as gauges of Ray, which every node offers to Prometheus on its own port.

Only the driver sets them: Ray goes on to export the gauge of an actor that is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ray.util.metrics import Gauge

from r1ray.runtime.run_files import name_of
from r1ray.telemetry.series import families, series_of

OF_RUN = ("run", "stage")


class Gauges:
    """The gauges of one stage of a run."""

    def __init__(self, *, run: str, stage: str) -> None:
        self._tags, self._gauges = {"run": run, "stage": stage}, dict[str, Gauge]()

    @classmethod
    def of(cls, run_dir: Path, *, stage: str) -> Gauges:
        """Return those of the stage in a folder; one of a recipe is called as the recipe calls it, and not ``stage``.

        >>> Gauges.of(Path("runs/r1/stages/cold_start"), stage="sft")._tags
        {'run': 'r1', 'stage': 'cold_start'}
        """
        run, name = name_of(run_dir, stage=stage)
        return cls(run=run, stage=name)

    def set(self, metrics: Mapping[str, float]) -> None:
        """Set the gauge of each metric that the table of metrics has. Those of a line before this one stay: an
        evaluation holds until the next."""
        for name, value in metrics.items():
            if (series := series_of(name)) is not None:
                self._gauge(series.name).set(value, tags={**self._tags, **series.labels})

    def _gauge(self, name: str) -> Gauge:
        if name not in self._gauges:
            labels, meaning = families()[name]
            self._gauges[name] = Gauge(name, description=meaning, tag_keys=(*OF_RUN, *labels))
        return self._gauges[name]
