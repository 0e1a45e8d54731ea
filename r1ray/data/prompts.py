"""Prompt files: read once in batches, checked row by row, spooled to a memory-mapped Arrow file.

    Parquet | JSON lines --(layouts)--> RawPrompt rows --> spool.arrow --(template, order)--> Prompt

The spool gives any row in constant time without holding the file in memory, so the order of an epoch can be a
true shuffle of all rows, and a run can resume at any row.
"""

from __future__ import annotations

import io
import itertools
import json
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from r1ray.data.checks import MalformedRow, check_problem, dump_check, load_check
from r1ray.data.layouts import LAYOUTS, RawPrompt, Row, recognise
from r1ray.errors import UserError
from r1ray.types import Check, CodeTests, Position, Prompt

SCHEMA = pa.schema([(name, pa.string()) for name in ("id", "question", "check", "domain", "language")])
BATCH_ROWS = 4096
MAX_ERRORS_SHOWN = 3


def _open(path: str, key: str) -> tuple[pafs.FileSystem, str]:
    """The file system of ``path`` and the path inside it. Raises UserError where there is no such file."""
    try:
        if "://" in path:
            filesystem, inner = pafs.FileSystem.from_uri(path)
        else:
            filesystem, inner = pafs.LocalFileSystem(), str(Path(path).expanduser().resolve())
        info = filesystem.get_file_info(inner)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise UserError(f"{key}={path}: cannot be opened: {error}.") from error
    if info.type != pafs.FileType.File:
        raise UserError(f"{key}={path}: no such file; needs a Parquet (.parquet) or JSON lines (.jsonl) file.")
    return filesystem, inner


def _parquet_rows(filesystem: pafs.FileSystem, inner: str) -> Iterator[tuple[int, Row]]:
    with filesystem.open_input_file(inner) as source:
        batches = pq.ParquetFile(source).iter_batches(batch_size=BATCH_ROWS)
        yield from enumerate((row for batch in batches for row in batch.to_pylist()), start=1)


def _json_rows(filesystem: pafs.FileSystem, inner: str) -> Iterator[tuple[int, Row]]:
    # Not pyarrow.json: its schema inference refuses columns of mixed types, and its errors name no line.
    with filesystem.open_input_stream(inner) as source:
        for number, line in enumerate(io.BufferedReader(source), start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise MalformedRow(f"line {number}: not JSON: {error}") from error
            if not isinstance(row, dict):
                raise MalformedRow(f"line {number}: needs a JSON object, found {line.decode(errors='replace')[:60]!r}")
            yield number, row


def _rows(path: str, key: str) -> Iterator[tuple[int, Row]]:
    filesystem, inner = _open(path, key)
    try:
        yield from (_parquet_rows if inner.endswith(".parquet") else _json_rows)(filesystem, inner)
    except MalformedRow as error:
        raise UserError(f"{key}={path}: {error}.") from error
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        raise UserError(f"{key}={path}: cannot be read: {error}.") from error


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
    rows = _rows(path, key)
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
        self._reader = pa.ipc.open_file(pa.memory_map(str(spool)))
        counts = [self._reader.get_batch(i).num_rows for i in range(self._reader.num_record_batches)]
        self._ends: list[int] = list(itertools.accumulate(counts))
        self._render = render

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> Prompt:
        batch = bisect_right(self._ends, index)
        offset = index - (self._ends[batch - 1] if batch else 0)
        row = self._reader.get_batch(batch).slice(offset, 1).to_pylist()[0]
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
