"""A run, live or ended, as read from its files: configuration, metrics, rollouts, evaluations and events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from r1ray.errors import UserError
from r1ray.runtime.user_paths import path_of
from r1ray.telemetry.metrics import read_rows
from r1ray.telemetry.rollout_rows import SCHEMA
from r1ray.telemetry.rollouts import EVALUATION, rollout_file, rollout_steps
from r1ray.telemetry.run_status import find_run
from r1ray.telemetry.timeline import read_events

METRICS = "metrics.jsonl"


@dataclass(frozen=True, slots=True)
class Run:
    """A stage of a run, or the whole run if it has only one. Each call reads the current files."""

    folder: Path
    """Folder of its metrics.jsonl."""

    @property
    def config(self) -> dict[str, Any]:
        """Return the resolved configuration of the run."""
        for folder in (self.folder, *self.folder.parents[:2]):
            if (folder / "config.yaml").is_file():
                return dict(yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8")))
        raise UserError(f"{self.folder}: has no config.yaml; needs the folder of a run.")

    @property
    def metrics(self) -> pa.Table:
        """Return one row for each line of metrics.jsonl and one column for each metric; null if a line lacks it."""
        rows = read_rows(self.folder / METRICS)
        names = dict.fromkeys(name for row in rows for name in row)
        return pa.table({name: pa.array([row.get(name) for row in rows]) for name in names})

    def rollouts(self, *, step: int | None = None, columns: Sequence[str] | None = None) -> pa.Table:
        """Return one row for each trajectory.

        Args:
            step: only this step; None: every step, which may be large without ``columns``.
            columns: only these columns; ``segments`` and ``prompt_tokens`` make up most of a file.
        """
        return self._table("step", step, columns)

    def evaluations(self, *, step: int | None = None, columns: Sequence[str] | None = None) -> pa.Table:
        """Return one row for each answer to a held-out prompt, with the columns of :meth:`rollouts`; ``step``: only the
        evaluation after this step."""
        return self._table(EVALUATION, step, columns)

    @property
    def events(self) -> pa.Table:
        """Return the activities of each process with their times; for a recipe, of all of its stages."""
        return read_events(find_run(self.folder))

    @property
    def models(self) -> dict[int, Path]:
        """Return the Hugging Face folders of the policy, by the step after which they were written."""
        folders = (self.folder / "hf").glob("[0-9]*")
        return {int(folder.name): folder for folder in sorted(folders, key=lambda each: int(each.name))}

    def _table(self, name: str, step: int | None, columns: Sequence[str] | None) -> pa.Table:
        folder = self.folder / "rollouts"
        steps = rollout_steps(folder, name=name)
        if step is not None and step not in steps:
            there = f"there are {', '.join(map(str, steps[-5:]))}" if steps else "there are none of any step"
            raise UserError(f"{folder}: has no {name}={step:06d}.parquet; {there}.")
        files = [rollout_file(folder, each, name=name) for each in (steps if step is None else [step])]
        if not files:
            schema = SCHEMA if columns is None else pa.schema([SCHEMA.field(column) for column in columns])
            return schema.empty_table()
        wanted = None if columns is None else list(columns)
        tables = [pq.ParquetFile(file).read(columns=wanted) for file in files]
        return pa.concat_tables(tables, promote_options="default")  # a column may have been added during the run


def load_run(path: str | PathLike[str], *, stage: str | None = None) -> Run:
    """Return a run by its folder, or by the folder of a stage. For a recipe's folder, return the newest stage that has
    metrics, or ``stage``. Raises UserError."""
    folder = path_of(str(fspath(path)), key="")
    if not folder.is_dir():
        raise UserError(f"{path}: no such folder; needs the folder of a run.")
    stages = sorted(folder.glob(f"stages/*/{METRICS}"), key=lambda file: file.stat().st_mtime)
    found = {file.parent.name: file.parent for file in stages}
    if stage is not None:
        if stage not in found:
            raise UserError(f"stage={stage}: {folder} has no metrics of it; needs one of {', '.join(found) or 'none'}.")
        return Run(found[stage])
    if (folder / METRICS).is_file() or not found:
        return Run(folder)
    return Run(list(found.values())[-1])
