"""Weights & Biases: a run for each stage, the stages of a run in one group. ``WANDB_MODE=offline`` writes what
``wandb sync`` sends later.

Steps are a metric of their own, ``step``: what was undone is drawn again from its step on; over ``policy_version``,
which never goes back, both are apart.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path

import wandb

from r1ray.runtime.run_files import TRACKERS
from r1ray.telemetry.trackers.tracker import COLUMNS, TABLE, Line, Place, Samples, Stage


class ToWandb:
    """See :class:`r1ray.telemetry.trackers.tracker.Tracker`."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def begin(self, stage: Stage, id: str, *, sent: int) -> str:
        id = id or uuid.uuid4().hex
        self._title = stage.title
        self._run = wandb.init(
            project=self._place.settings.project,
            group=stage.run,
            job_type=stage.name,
            name=stage.title,
            id=id,
            resume="allow",
            dir=str(self._place.run_dir / TRACKERS),
            config={**stage.config, "r1ray_inputs": dict(stage.inputs)},
            allow_val_change=True,
            # Nothing of the machine, of the checkout or of what other processes print.
            settings=wandb.Settings(
                console="off",
                disable_git=True,
                disable_code=True,
                silent=True,
                x_disable_meta=True,
                x_disable_stats=True,
            ),
        )
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")
        return id

    def log(self, lines: Sequence[Line]) -> None:
        for line in lines:
            self._run.log({**line.metrics, "step": line.step, "_timestamp": line.wall_time})

    def go_back(self, step: int) -> None:
        self._run.summary["undone_after_step"] = step

    def show(self, samples: Samples) -> None:
        table = wandb.Table(columns=list(COLUMNS), data=[list(row) for row in samples.rows])
        self._run.log({TABLE: table, "step": samples.step})

    def note_model(self, step: int, folder: Path) -> None:
        """Have the model's folder known as a version of an artifact; its files stay where they are."""
        name = "".join(each if each.isalnum() or each in "-_." else "-" for each in self._title)
        model = wandb.Artifact(f"{name}-model", type="model", metadata={"step": step, "folder": str(folder)})
        model.add_reference(folder.as_uri(), checksum=False)
        self._run.log_artifact(model, aliases=[f"step-{step}"])
        self._run.summary["model"] = str(folder)

    def end(self) -> None:
        self._run.finish()
        wandb.teardown()  # waits for the process that writes
