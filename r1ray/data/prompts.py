"""Prompt files: read once in batches, checked row by row, spooled to a memory-mapped Arrow file.

    Parquet | JSON lines --(layouts)--> RawPrompt rows --> spool.arrow --(template, order)--> Prompt

The spool gives any row in constant time without holding the file in memory, so the order of an epoch can be a
true shuffle of all rows, and a run can resume at any row.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from r1ray.data.checks import MalformedRow, check_problem, dump_check, load_check
from r1ray.data.layouts import LAYOUTS, RawPrompt, recognise
from r1ray.data.spool import BATCH_ROWS, MAX_ERRORS_SHOWN, SpooledRows, rows_of
from r1ray.errors import UserError
from r1ray.types import Check, CodeTests, Position, Prompt

SCHEMA = pa.schema([(name, pa.string()) for name in ("id", "question", "check", "domain", "language")])


@dataclass(frozen=True, slots=True)
class SpoolReport:
    """What reading a prompt file found."""

    layout: str
    num_rows: int
    quarantined: tuple[str, ...]
    """Ids and reasons of rows without a usable reference; they are left out."""
    programs: frozenset[str] = frozenset()
    """Languages in which programs are asked for."""


def spool_prompts(
    path: str,
    spool: Path,
    *,
    key: str,
    problem: Callable[[Check, str], str | None] = lambda check, language: check_problem(check),
) -> SpoolReport:
    """Read ``path``, check every row, and write the usable ones to ``spool`` as an Arrow file.

    Args:
        problem: why nothing can be judged by a check and a language, None where it can; such rows are quarantined.

    Raises:
        UserError: no such file, unknown layout, malformed rows (the first few are named), or nothing usable.
    """
    rows = rows_of(path, key=key)
    first = next(rows, None)
    if first is None:
        raise UserError(f"{key}={path}: the file has no rows; needs at least one prompt.")
    layout = recognise(frozenset(first[1]))
    if layout is None:
        raise UserError(
            f"{key}={path}: found the columns {', '.join(sorted(first[1]))}; needs those of one of these layouts: "
            f"{'; '.join(known.name for known in LAYOUTS)}."
        )
    errors: list[str] = []
    quarantined: list[str] = []
    languages: set[str] = set()
    written = 0

    def usable() -> Iterator[RawPrompt]:
        for number, row in itertools.chain([first], rows):
            try:
                raw = layout.read(row, number - 1)
            except MalformedRow as error:
                errors.append(f"row {number}: {error}")
                continue
            reason = problem(raw.check, raw.language)
            if reason is None:
                languages.update([raw.check.language] if isinstance(raw.check, CodeTests) else [])
                yield raw
            else:
                quarantined.append(f"{raw.id} ({reason})")

    spool.parent.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(spool), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        prompts = usable()
        while batch := list(itertools.islice(prompts, BATCH_ROWS)):
            columns = {
                "id": [raw.id for raw in batch],
                "question": [json.dumps(raw.question, ensure_ascii=False) for raw in batch],
                "check": [dump_check(raw.check) for raw in batch],
                "domain": [raw.domain for raw in batch],
                "language": [raw.language for raw in batch],
            }
            writer.write_batch(pa.record_batch(columns, schema=SCHEMA))
            written += len(batch)
    if errors:
        shown = "; ".join(errors[:MAX_ERRORS_SHOWN])
        raise UserError(
            f"{key}={path}: {len(errors)} malformed rows of {number_of(written, errors, quarantined)}: {shown}."
        )
    if not written:
        raise UserError(f"{key}={path}: none of its {len(quarantined)} rows has a usable reference: {quarantined[0]}.")
    return SpoolReport(layout.name, written, tuple(quarantined), frozenset(languages))


def number_of(written: int, errors: list[str], quarantined: list[str]) -> int:
    """Rows that were read."""
    return written + len(errors) + len(quarantined)


class PromptTable:
    """The spooled prompts by row number, template applied."""

    def __init__(self, spool: Path, render: Callable[[Any], str]) -> None:
        self._rows = SpooledRows(spool)
        self._render = render

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Prompt:
        row = self._rows.row(index).to_pylist()[0]
        return Prompt(
            id=row["id"],
            text=self._render(json.loads(row["question"])),
            check=load_check(row["check"]),
            domain=row["domain"],
            language=row["language"],
        )


class PromptCursor:
    """The endless sequence of prompts of a run: every epoch is a new shuffle, made of the seed and the epoch's
    number alone, so that a :class:`Position` says everything about where the run stands."""

    def __init__(self, table: PromptTable, *, seed: int, position: Position) -> None:
        self._table, self._seed = table, seed
        self.position = position
        self._order = self._shuffle(position.epoch)

    def _shuffle(self, epoch: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        return np.random.default_rng([self._seed, epoch]).permutation(len(self._table))

    def at(self, position: Position) -> Prompt:
        """The prompt at a position of this or an earlier epoch."""
        order = self._order if position.epoch == self.position.epoch else self._shuffle(position.epoch)
        return self._table[int(order[position.index])]

    def take(self) -> tuple[Position, Prompt]:
        """The next prompt and its position, which names this use of it."""
        if self.position.index == len(self._table):
            self.position = Position(self.position.epoch + 1, 0)
            self._order = self._shuffle(self.position.epoch)
        taken = self.position
        self.position = Position(taken.epoch, taken.index + 1)
        return taken, self._table[int(self._order[taken.index])]
