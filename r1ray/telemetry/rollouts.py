"""The rollout log: one Parquet file a step, with every group that was trained or dropped in it; reflection.jsonl, one
line a step on how often its trained groups re-evaluate; and set_aside.jsonl, one line a trajectory whose scoring ended
its workers.

    GroupRecord, Trajectory --RolloutLog.write--> step=000123.parquet --read_rollouts--> RolloutRow
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from r1ray.errors import UserError
from r1ray.interfaces import Lent
from r1ray.runtime.disk import written_with_room
from r1ray.runtime.files import written_aside
from r1ray.telemetry.metrics import append_row, read_rows, rewind_rows
from r1ray.telemetry.reflection import measure_step
from r1ray.telemetry.rollout_rows import SCHEMA, RolloutRow, rows_of, set_aside_rows
from r1ray.types import GroupRecord, Trajectory

REFLECTION, SET_ASIDE = "reflection.jsonl", "set_aside.jsonl"
ROWS_AT_A_TIME = 256
"""Of what is read: with 32,768 tokens each they take some 100 MB."""


def reflection_rows(folder: Path) -> list[dict[str, Any]]:
    """What a rollout log in ``folder`` measured so far, a row a step: see
    :func:`r1ray.telemetry.reflection.measure_step`."""
    return read_rows(folder / REFLECTION)


def rollout_file(folder: Path, step: int, *, name: str = "step") -> Path:
    """Return where the rows of a step are: ``<folder>/<name>=000123.parquet``."""
    return folder / f"{name}={step:06d}.parquet"


def rollout_steps(folder: Path) -> list[int]:
    """Return the steps that have a file, in order."""
    return sorted(int(path.stem.removeprefix("step=")) for path in folder.glob("step=*.parquet"))


def read_rollouts(
    folder: Path, *, step: int | None = None, columns: Sequence[str] | None = None, name: str = "step"
) -> Iterator[RolloutRow]:
    """Yield the rows of a rollout log, step after step, a few of them in memory at a time.

    Args:
        folder: ``rollouts`` in a run's or a stage's folder.
        step: this one alone.
        columns: those that are wanted; all. Tokens and log-probabilities are most of a file: without ``segments`` and
            ``prompt_tokens`` it is read in no time.
        name: of the files; ``not_finite_step`` are those that were set aside.

    Raises UserError where the step has no file.
    """
    if step is not None and not rollout_file(folder, step, name=name).exists():
        steps = rollout_steps(folder)
        held = f"there are steps {steps[0]} to {steps[-1]}" if steps else "there are none of any step"
        raise UserError(f"{folder}: holds no rollouts of step {step}; {held}.")
    for path in sorted(folder.glob(f"{name}=*.parquet")) if step is None else [rollout_file(folder, step, name=name)]:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(ROWS_AT_A_TIME, columns=columns):
                yield from cast("list[RolloutRow]", batch.to_pylist(maps_as_pydicts="strict"))


class RolloutLog:
    """Writes ``<folder>/step=000123.parquet``; each file is written aside, then renamed."""

    def __init__(self, folder: Path, *, stage: str = "rl") -> None:
        self._folder, self._stage = folder, stage
        folder.mkdir(parents=True, exist_ok=True)

    def write(
        self, step: int, records: Sequence[GroupRecord], lent: Lent, name: str = "step", *, again: bool = False
    ) -> Path:
        """Write a step's groups. Returns ``<folder>/<name>=000123.parquet``; only steps are measured.

        Args:
            lent: the trajectories, on their way from who holds them.
            again: the process that wrote before this one was killed, perhaps in the middle of this step.
        """
        if again:
            self.rewind(step - 1)
        trajectories: Mapping[str, Trajectory] = lent.read()
        rows = [row for record in records for row in rows_of(step, self._stage, record, trajectories)]
        path = rollout_file(self._folder, step, name=name)
        table = pa.Table.from_pylist(rows, schema=SCHEMA)

        def write_rows() -> None:
            with written_aside(path) as aside:
                pq.write_table(table, aside, compression="zstd")

        # The controller says that there is no room, and ends this process where the wait is too long.
        written_with_room(self._folder, write_rows)
        if name == "step":
            for row in set_aside_rows(step, records, trajectories):
                append_row(self._folder / SET_ASIDE, row)
        trained = [record for record in records if record.status == "trained"]
        ids = [each for record in trained if record.group is not None for each in record.group.ids]
        if name == "step" and any(each in trajectories for each in ids):  # else they are gone with their worker
            row = measure_step(step, trained, trajectories)
            written_with_room(self._folder, lambda: append_row(self._folder / REFLECTION, row))
        return path

    def rewind(self, step: int) -> None:
        """Remove the files and lines after ``step``: a resumed run writes them again."""
        for name in (REFLECTION, SET_ASIDE):
            rewind_rows(self._folder / name, step)
        for later in rollout_steps(self._folder):
            if later > step:
                rollout_file(self._folder, later).unlink()
