"""The rollout log: one Parquet file a step, with every group that was trained or dropped in it; reflection.jsonl, one
line a step on how often its trained groups re-evaluate; and set_aside.jsonl, one line a trajectory whose scoring ended
its workers.

    GroupRecord, Trajectory --RolloutLog.write--> step=000123.parquet --read_rollouts--> RolloutRow
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from r1ray.errors import UserError
from r1ray.interfaces import Lent
from r1ray.runtime.disk import written_with_room
from r1ray.runtime.files import written_aside
from r1ray.telemetry.learned import Learned
from r1ray.telemetry.metrics import append_row, read_rows, rewind_rows
from r1ray.telemetry.reflection import measure_step
from r1ray.telemetry.rollout_rows import SCHEMA, Ends, RolloutRow, rows_of, set_aside_rows
from r1ray.telemetry.token_ends import ends_of
from r1ray.types import GroupRecord, Trajectory

REFLECTION, SET_ASIDE = "reflection.jsonl", "set_aside.jsonl"
EVALUATION = "eval_step"
"""The name of the files of evaluations: ``eval_step=000120.parquet`` has the answers of the version after step 120."""
ROWS_AT_A_TIME = 256
"""Of what is read: with 32,768 tokens each they take some 100 MB."""


def reflection_rows(folder: Path) -> list[dict[str, Any]]:
    """What a rollout log in ``folder`` measured so far, a row a step: see
    :func:`r1ray.telemetry.reflection.measure_step`."""
    return read_rows(folder / REFLECTION)


def rollout_file(folder: Path, step: int, *, name: str = "step") -> Path:
    """Return where the rows of a step are: ``<folder>/<name>=000123.parquet``."""
    return folder / f"{name}={step:06d}.parquet"


def rollout_steps(folder: Path, *, name: str = "step") -> list[int]:
    """Return the steps that have a file, in order; ``name`` as of :func:`read_rollouts`."""
    return sorted(int(path.stem.removeprefix(f"{name}=")) for path in folder.glob(f"{name}=*.parquet"))


def read_rollouts(
    folder: Path, *, step: int | None = None, columns: Sequence[str] | None = None, name: str = "step"
) -> Iterator[RolloutRow]:
    """Yield the rows of a rollout log, step after step, a few of them in memory at a time.

    Args:
        folder: ``rollouts`` in a run's or a stage's folder.
        step: this one alone.
        columns: those that are wanted; all. Tokens and log-probabilities are most of a file: without ``segments`` and
            ``prompt_tokens`` it is read in no time.
        name: of the files; ``not_finite_step`` are those that were set aside, :data:`EVALUATION` those of held-out
            prompts.

    Raises UserError where the step has no file.
    """
    if step is not None and not rollout_file(folder, step, name=name).exists():
        steps = rollout_steps(folder, name=name)
        held = f"there are steps {steps[0]} to {steps[-1]}" if steps else "there are none of any step"
        raise UserError(f"{folder}: holds no rollouts of step {step}; {held}.")
    for path in sorted(folder.glob(f"{name}=*.parquet")) if step is None else [rollout_file(folder, step, name=name)]:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(ROWS_AT_A_TIME, columns=columns):
                yield from cast("list[RolloutRow]", batch.to_pylist(maps_as_pydicts="strict"))


class RolloutLog:
    """Writes ``<folder>/step=000123.parquet``; each file is written aside, then renamed."""

    def __init__(self, folder: Path, model: str | None = None, *, stage: str = "rl") -> None:
        """``model``: whose tokens they are; None: nothing is said of where they end in their text."""
        self._folder, self._model, self._stage = folder, model, stage
        folder.mkdir(parents=True, exist_ok=True)

    @cached_property
    def _ends(self) -> Ends:
        return ends_of(self._model) if self._model is not None else lambda token_ids, text: None

    def write(
        self,
        step: int,
        records: Sequence[GroupRecord],
        lent: Lent,
        name: str = "step",
        *,
        learned: Lent | None = None,
        again: bool = False,
    ) -> Path:
        """Write the groups of a step, or of an evaluation (:data:`EVALUATION`). Returns
        ``<folder>/<name>=000123.parquet``; only steps are measured.

        Args:
            lent: the trajectories, on their way from who holds them.
            learned: what the learner found of them, by id, on its way from the ranks.
            again: the process that wrote before this one was killed, perhaps in the middle of this step.
        """
        if again and name == "step":
            self.rewind(step - 1)
        trajectories: Mapping[str, Trajectory] = lent.read()
        found: Mapping[str, Learned] = learned.read() if learned is not None else {}
        rows = [row for each in records for row in rows_of(step, self._stage, each, trajectories, found, self._ends)]
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
        for name in ("step", EVALUATION):
            for later in rollout_steps(self._folder, name=name):
                if later > step:
                    rollout_file(self._folder, later, name=name).unlink()
