"""Which logged steps of a run can be computed again, and from what.

RUN_DIR [stage] --find_log--> the folder that has a rollout log --RunLog.source--> checkpoint, logged metrics, rows
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from r1ray.errors import UserError
from r1ray.runtime.files import read_object
from r1ray.runtime.remote_code import allow
from r1ray.stages.export import checkpoints_of, folders_of
from r1ray.stages.resuming import read_config
from r1ray.telemetry.metrics import read_rows
from r1ray.telemetry.rollouts import read_rollouts, rollout_file, rollout_steps
from r1ray.telemetry.stored_groups import StoredStep, is_gone, stored_step

ORIGIN = "state.json"
"""Origin of a learner's saved state, as :mod:`r1ray.learner.state` has it, which imports DeepSpeed."""
FACTS = ("group_id", "group_status", "trajectory", "advantage", "seconds")
"""Columns that say if a step's rows are whole."""


@dataclass(frozen=True, slots=True)
class Source:
    """Inputs from which a step is computed again."""

    step: int
    checkpoint: Path | None
    """The ``learner/`` folder of the checkpoint directly before the step; None: the model that the run began with."""
    model: str
    """Folder or hub name that the learner is built from."""
    logged: Mapping[str, float]
    """The step's line of metrics.jsonl."""

    @property
    def version(self) -> int:
        """The policy version before the step."""
        return int(self.logged["policy_version"]) - 1


class RunLog:
    """A run's or stage's folder, read only."""

    def __init__(self, folder: Path) -> None:
        """Raises UserError where its settings or metrics cannot be read."""
        self.folder = folder
        if not (folder / "config.yaml").is_file():
            raise UserError(f"{folder}: has no config.yaml; needs the folder of a run, or of a stage of it.")
        self.config = read_config(folder / "config.yaml")
        allow(self.config.trust_remote_code)
        lines = read_rows(folder / "metrics.jsonl")
        self._logged = {int(line["step"]): line for line in lines if {"grad_norm", "policy_version"} <= line.keys()}
        self._rollouts = frozenset(rollout_steps(folder / "rollouts"))
        self._checkpoints = checkpoints_of(folder)
        self._saved = self._checkpoints.versions()

    @cached_property
    def steps(self) -> list[int]:
        """The steps that can be computed again, in order."""
        return [step for step in sorted(self._logged) if self.why_not(step) is None]

    @property
    def num_logged(self) -> int:
        """The number of steps in metrics.jsonl."""
        return len(self._logged)

    def source(self, step: int) -> Source:
        """Return what a step is computed again from. Raises UserError, which says what is needed and which steps can
        be, where this one cannot."""
        if reason := self.why_not(step):
            raise UserError(f"step={step}: {reason}. {self.advice}")
        return Source(step, self._checkpoint(step), self._model(step), self._logged[step])

    def read(self, step: int) -> StoredStep:
        """Return the groups that a step was trained on. Raises UserError where its rows are of another version of
        r1ray, or torn."""
        rollouts = self.folder / "rollouts"
        try:
            return stored_step(read_rollouts(rollouts, step=step))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{rollout_file(rollouts, step)}: holds no rows that can be read ({error!r}).") from error

    @property
    def advice(self) -> str:
        """A sentence on the steps that can be computed again."""
        if self.steps:
            return f"Steps that can be replayed: {', '.join(map(str, self.steps))}."
        return (
            "No step of this run can be replayed; checkpoint.every=1 and checkpoint.keep=N make it so for the last N."
        )

    def why_not(self, step: int) -> str | None:
        """Return what a step lacks to be computed again; None where that is nothing."""
        if step not in self._logged:
            held = f"steps {min(self._logged)} to {max(self._logged)}" if self._logged else "none"
            return f"{self.folder / 'metrics.jsonl'} has no such step that was trained, it has {held}"
        if step not in self._rollouts:
            return f"needs {rollout_file(self.folder / 'rollouts', step)}, which is not there"
        try:
            return self._why_not_from(step) or self._why_not_rows(step)
        except UserError as error:  # a torn checkpoint, or torn rows
            return str(error).rstrip(".")

    def _why_not_from(self, step: int) -> str | None:
        if self._checkpoint(step) is None and step > 1:
            held = f"there are those of steps {', '.join(map(str, self._saved))}" if self._saved else "there is none"
            return f"needs the checkpoint of step {step - 1}, directly before it; {held}"
        self._model(step)
        ranks = self.config.learner.num_ranks
        saved_by = int(self._origin(step - 1)["world_size"]) if step - 1 in self._saved else ranks
        if saved_by != ranks:
            return (
                f"the checkpoint of step {step - 1} was saved by {saved_by} learner ranks, and config.yaml has "
                f"learner.num_ranks={ranks}; needs a step after a checkpoint that as many saved"
            )
        return None

    def _why_not_rows(self, step: int) -> str | None:
        path, wanted = rollout_file(self.folder / "rollouts", step), self.config.algo.prompts_per_step
        try:
            rows = list(read_rollouts(path.parent, step=step, columns=FACTS))
            trained = [row for row in rows if row["group_status"] == "trained"]
            gone = [row for row in trained if row["advantage"] is not None and is_gone(row)]
        except (OSError, ValueError, KeyError, TypeError) as error:
            return f"{path} holds no rows that can be read ({error!r})"
        if gone:
            return f"{path} lacks the tokens of {len(gone)} trajectories, which were lost with their group worker"
        groups = len({row["group_id"] for row in trained})
        return None if groups == wanted else f"{path} has {groups} groups, and the step was trained on {wanted}"

    def _checkpoint(self, step: int) -> Path | None:
        return self._checkpoints.learner_of(step - 1) if step - 1 in self._saved else None

    def _model(self, step: int) -> str:
        """Return the model that the learner is built from: of the checkpoint before a step, or of the start."""
        saved = step - 1 if step - 1 in self._saved else max(self._saved, default=None)
        model = self.config.model if saved is None else self._origin(saved)["model"]
        if model is None:
            raise UserError("needs the model that the run began with, which neither checkpoint nor config.yaml names.")
        return str(model)

    def _origin(self, version: int) -> dict[str, Any]:
        origin = self.folder / "checkpoints" / str(version) / "learner" / ORIGIN
        found = read_object(origin, way_out="Remove the checkpoint")
        if not {"model", "world_size"} <= found.keys():
            raise UserError(f"{origin}: names no model, or no number of ranks.")
        return found


def find_log(run_dir: Path, *, step: int | None, stage: str | None) -> RunLog:
    """Return the log of a run, a stage or a recipe: of a recipe's folder, that of the newest stage in which the step
    can be computed again, or else of the newest. Raises UserError.

    Args:
        stage: look into this stage's folder only.
    """
    folders = folders_of(run_dir, stage=stage)
    logs = [RunLog(folder) for folder in folders if rollout_steps(folder / "rollouts")]
    if not logs:
        raise UserError(
            f"{run_dir}: has no rollout log (rollouts/step=*.parquet); needs the folder of a run, or of a stage, of "
            "reinforcement learning that has made a step."
        )
    having = [log for log in logs if step is not None and log.why_not(step) is None]
    return max(having or logs, key=lambda log: (log.folder / "rollouts").stat().st_mtime)
