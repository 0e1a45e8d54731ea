"""Trackio: a run for each stage, the stages of a run in one group; in ``output_dir/trackers/trackio`` unless
``TRACKIO_DIR`` says otherwise.

    TRACKIO_DIR=runs/trackers/trackio trackio show --project r1ray
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from pathlib import Path

from r1ray.telemetry.trackers.tracker import COLUMNS, TABLE, Line, Place, Samples, Stage


class ToTrackio:
    """See :class:`r1ray.telemetry.trackers.tracker.Tracker`. The run's id is its name there."""

    def __init__(self, place: Place) -> None:
        os.environ.setdefault("TRACKIO_DIR", str(place.shared / "trackio"))
        import trackio  # reads TRACKIO_DIR when it is imported

        self._trackio, self._place = trackio, place

    def begin(self, stage: Stage, id: str, *, sent: int) -> str:
        id = id or f"{stage.run}-{stage.name}-{uuid.uuid4().hex[:6]}"
        self._run = self._trackio.init(
            project=self._place.settings.project,
            name=id,
            group=stage.run,
            config={**stage.config, "r1ray_inputs": dict(stage.inputs)},
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
        return id

    def log(self, lines: Sequence[Line]) -> None:
        for line in lines:
            self._run.log(dict(line.metrics), step=line.step)

    def go_back(self, step: int) -> None:
        self._run.log({"undone_after_step": step}, step=step)

    def show(self, samples: Samples) -> None:
        table = self._trackio.Table(columns=list(COLUMNS), data=[list(row) for row in samples.rows])
        self._run.log({TABLE: table}, step=samples.step)

    def note_model(self, step: int, folder: Path) -> None:
        self._run.log({"model": str(folder)}, step=step)

    def end(self) -> None:
        self._run.finish()
