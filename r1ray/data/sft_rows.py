"""Supervised data, read once in batches, checked row by row, tokenized, and spooled to a memory-mapped Arrow file.

    files --(sft_layouts, pair_layouts)--> RawExample --(turns)--> tokens --> x.arrow --> SFTExample | PreferencePair

A row of the spool holds one sequence of tokens, or two end to end, with its loss mask as lengths of runs.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from r1ray.config.sources import Source
from r1ray.data.bad_rows import MAX_SHOWN, BadRows
from r1ray.data.checks import MalformedRow, UnusableRow
from r1ray.data.dialogues import Dialogue, Layout, RawExample, joined, recognise, unknown_columns
from r1ray.data.position import Position
from r1ray.data.sft_examples import PreferencePair, SFTExample
from r1ray.data.spool import Row, SpooledRows, named, read_rows
from r1ray.data.turns import Piece
from r1ray.errors import UserError
from r1ray.runtime.files import write_text, written_aside
from r1ray.types import BoolArray, Int32Array

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("token_ids", pa.list_(pa.int32())),
        ("runs", pa.list_(pa.int32())),
        ("split", pa.int32()),
        ("margin", pa.float64()),
    ]
)
"""``split`` is the length of the first sequence."""
BATCH_ROWS = 256
"""Number of rows that are tokenized together and make one batch of the spool."""


def runs_of(mask: BoolArray) -> Int32Array:
    """Return the lengths of the runs of a loss mask. The first run is of tokens that are not in the loss.

    >>> runs_of(np.array([False, True, True, False])).tolist(), runs_of(np.array([True])).tolist()
    ([1, 2, 1], [0, 1])
    """
    changes = np.flatnonzero(np.diff(mask, prepend=False))
    return np.diff(np.concatenate([[0], changes, [len(mask)]])).astype(np.int32)


def mask_of(runs: Int32Array) -> BoolArray:
    """Return the loss mask [T] that :func:`runs_of` encoded."""
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs)


@dataclass(frozen=True, slots=True)
class SupervisedReport:
    """The findings from reading a file of supervised data."""

    layout: str
    num_rows: int
    """Number of rows that are trained on."""
    num_tokens: int
    num_answer_tokens: int
    longest: int
    """Number of tokens of their longest dialogue."""
    num_too_long: int
    """Number of rows left out because one of their dialogues has too many tokens."""
    quarantined: dict[str, int] = field(default_factory=dict)
    """Number of rows from which nothing can be learned, by reason. They are left out."""
    quarantined_ids: tuple[str, ...] = ()
    """Ids of the first few of them."""
    num_marked: int = 0
    """Number of rows with an answer that contains ``marker``."""


class Encoder(Protocol):
    """Encoder of dialogues to tokens, such as :class:`r1ray.data.turns.DialogueEncoder`."""

    def pieces(self, dialogue: Dialogue) -> tuple[Piece, ...]: ...

    def encode(self, dialogues: Sequence[Sequence[Piece]]) -> list[tuple[Int32Array, BoolArray]]: ...


def spool_dialogues(
    path: Source,
    spool: Path,
    *,
    key: str,
    layouts: Sequence[Layout],
    encoder: Encoder,
    max_tokens: int,
    digest: str,
    marker: str | None = None,
    on_bad_row: str = "refuse",
) -> SupervisedReport:
    """Read ``path``, check and tokenize every row, and write the usable ones to ``spool``.

    Args:
        key: configuration key that holds ``path``, for messages.
        max_tokens: rows with a longer dialogue are left out and counted.
        digest: digest of everything that determines the output. A ``spool`` made with the same digest is used again,
            since it would take long to tokenize a large file at every restart.
        marker: text that is searched for in the answers.
        on_bad_row: value of ``data.on_bad_row``.

    Raises:
        UserError: there is no such file, its layout is unknown, rows are bad (the first few are named), or none is
            usable.
    """
    note = spool.with_suffix(".json")
    if spool.exists() and note.exists():
        saved = json.loads(note.read_text())
        if saved["digest"] == digest:
            found = saved["report"]
            return SupervisedReport(**found | {"quarantined_ids": tuple(found["quarantined_ids"])})
    note.unlink(missing_ok=True)
    reading = _Reading(
        path,
        key=key,
        layouts=layouts,
        encoder=encoder,
        max_tokens=max_tokens,
        marker=marker,
        on_bad_row=on_bad_row,
    )
    with written_aside(spool) as aside:
        with pa.OSFile(str(aside), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
            for batch in reading.batches():
                writer.write_batch(batch)
        report = reading.report()
    write_text(note, json.dumps({"digest": digest, "report": asdict(report)}))
    return report


class _Reading:
    """One pass over a file, with its findings."""

    def __init__(
        self,
        path: Source,
        *,
        key: str,
        layouts: Sequence[Layout],
        encoder: Encoder,
        max_tokens: int,
        marker: str | None,
        on_bad_row: str,
    ) -> None:
        self._named, self._encoder, self._max_tokens = named(path, key=key), encoder, max_tokens
        self._marker, self._num_marked = marker, 0
        self._bad = BadRows(self._named, on_bad_row=on_bad_row)
        self._rows, self._known = read_rows(path, key=key, bad=self._bad), layouts
        self._layouts: dict[str, Layout] = {}
        self._quarantined: Counter[str] = Counter()
        self._quarantined_ids: list[str] = []
        self._num_good = self._num_rows = self._num_too_long = 0
        self._num_tokens = self._num_answer_tokens = self._longest = 0
        self._shortest: int | None = None  # of the rows that are too long

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the usable rows. After a malformed row the others are only checked, since the file will be refused."""
        prepared = self._prepared()
        while batch := list(itertools.islice(prepared, BATCH_ROWS)):
            pieces = [dialogue for _, dialogues in batch for dialogue in dialogues]
            encoded = iter(self._encoder.encode([] if self._bad.is_refused else pieces))
            if self._bad.is_refused:
                continue
            rows = [(raw, [next(encoded) for _ in dialogues]) for raw, dialogues in batch]
            yield self._batch([row for row in rows if self._fits(row[1])])

    def _prepared(self) -> Iterator[tuple[RawExample, list[tuple[Piece, ...]]]]:
        for _, rows in itertools.groupby(self._rows, key=lambda row: row.file):
            yield from self._of_file(rows)

    def _of_file(self, rows: Iterator[Row]) -> Iterator[tuple[RawExample, list[tuple[Piece, ...]]]]:
        first = next(rows)
        layout = self._layout(first)
        numbered = ((row.index + 1, row.values) for row in itertools.chain([first], rows))
        for number, row in joined(numbered, layout):
            place = f"{first.within}row {number - first.index - 1 + first.number}"
            try:
                raws = layout.read(row, number)
                read = [(raw, [self._encoder.pieces(dialogue) for dialogue in raw.dialogues]) for raw in raws]
                self._num_marked += sum(self._is_marked(dialogues) for _, dialogues in read)
                self._num_good += 1
                yield from read
            except MalformedRow as error:
                self._bad.note(place, error)
            except UnusableRow as error:
                self._quarantined[str(error)] += 1
                if len(self._quarantined_ids) < MAX_SHOWN:
                    self._quarantined_ids.append(place)

    def _layout(self, row: Row) -> Layout:
        """Return the layout of a row's file, determined by its first readable row. Raises UserError."""
        if row.file not in self._layouts:
            layout = recognise(frozenset(row.values), self._known)
            if layout is None:
                place = self._named if len(self._layouts) == 0 else f"{self._named}: {row.place}"
                raise UserError(f"{place}: {unknown_columns(frozenset(row.values), self._known)}.")
            self._layouts[row.file] = layout
        return self._layouts[row.file]

    def _is_marked(self, dialogues: Sequence[Sequence[Piece]]) -> bool:
        answers = (piece.text for pieces in dialogues for piece in pieces if piece.is_answer)
        return self._marker is not None and any(self._marker in answer for answer in answers)

    def _fits(self, sequences: Sequence[tuple[Int32Array, BoolArray]]) -> bool:
        longest = max(len(ids) for ids, _ in sequences)
        if longest > self._max_tokens:
            self._num_too_long += 1
            self._shortest = longest if self._shortest is None else min(self._shortest, longest)
            return False
        self._num_rows += 1
        self._longest = max(self._longest, longest)
        self._num_tokens += sum(len(ids) for ids, _ in sequences)
        self._num_answer_tokens += sum(int(mask.sum()) for _, mask in sequences)
        return True

    def _batch(self, rows: Sequence[tuple[RawExample, list[tuple[Int32Array, BoolArray]]]]) -> pa.RecordBatch:
        ids = [np.concatenate([ids for ids, _ in sequences]) for _, sequences in rows]
        runs = [runs_of(np.concatenate([mask for _, mask in sequences])) for _, sequences in rows]
        columns = [
            pa.array([raw.id for raw, _ in rows], pa.string()),
            _lists(ids),
            _lists(runs),
            pa.array([len(sequences[0][0]) for _, sequences in rows], pa.int32()),
            pa.array([raw.margin for raw, _ in rows], pa.float64()),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)

    def report(self) -> SupervisedReport:
        """Return the report on the whole file. Raises UserError if it cannot be trained on."""
        self._bad.settle(num_others=self._num_good + sum(self._quarantined.values()))
        if not self._layouts:
            raise UserError(f"{self._named}: the file has no rows; needs at least one example.")
        if not self._num_rows and self._shortest is not None:
            raise UserError(
                f"supervised.max_tokens={self._max_tokens}: none of the rows of {self._named} fits, the "
                f"shortest has {self._shortest} tokens; raise the key."
            )
        if not self._num_rows:
            reasons = ", ".join(f"{reason} ({count})" for reason, count in self._quarantined.items())
            raise UserError(f"{self._named}: nothing can be learned from any of its rows: {reasons}.")
        return SupervisedReport(
            layout=" and ".join(dict.fromkeys(layout.name for layout in self._layouts.values())),
            num_rows=self._num_rows,
            num_tokens=self._num_tokens,
            num_answer_tokens=self._num_answer_tokens,
            longest=self._longest,
            num_too_long=self._num_too_long,
            quarantined=dict(self._quarantined),
            quarantined_ids=tuple(self._quarantined_ids),
            num_marked=self._num_marked,
        )


def _lists(arrays: Sequence[Int32Array]) -> pa.ListArray:
    offsets = np.cumsum([0, *(len(array) for array in arrays)], dtype=np.int32)
    values = np.concatenate([np.zeros(0, dtype=np.int32), *arrays])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values, pa.int32()))


# ---------------------------------------------------------------------- tables


class Rows(Protocol[R_co]):
    """Rows by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> R_co: ...


class ExampleTable:
    """The spooled examples by row number."""

    def __init__(self, spool: Path) -> None:
        self._rows = SpooledRows(spool)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> SFTExample:
        return _sequences(self._rows.row(index))[0]


class PairTable:
    """The spooled pairs by row number."""

    def __init__(self, spool: Path) -> None:
        self._rows = SpooledRows(spool)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> PreferencePair:
        row = self._rows.row(index)
        chosen, rejected = _sequences(row)
        return PreferencePair(chosen, rejected, float(row.column("margin")[0].as_py()))


def _sequences(row: pa.RecordBatch) -> tuple[SFTExample, SFTExample]:
    """Return the first sequence of a row, and the second, which may be empty."""
    name, split = row.column("id")[0].as_py(), row.column("split")[0].as_py()
    ids: Int32Array = row.column("token_ids")[0].values.to_numpy()
    mask = mask_of(row.column("runs")[0].values.to_numpy())
    return SFTExample(name, ids[:split], mask[:split]), SFTExample(name, ids[split:], mask[split:])


class EpochCursor(Generic[R]):
    """The rows of a run in the order of training: ``epochs`` times all of them. Every epoch is a new shuffle that
    depends only on the seed and the epoch's number, so a :class:`Position` fully describes the state of the run in the
    data."""

    def __init__(self, rows: Rows[R], *, seed: int, epochs: int, position: Position) -> None:
        self._rows, self._seed, self._epochs = rows, seed, epochs
        self.position = position
        self._order = self._shuffle(position.epoch)

    def _shuffle(self, epoch: int) -> npt.NDArray[np.int64]:
        return np.random.default_rng([self._seed, epoch]).permutation(len(self._rows))

    @property
    def epochs_done(self) -> float:
        """Number of epochs that are done. ``1.5``: all rows once, and half of them once more."""
        return self.position.epoch + self.position.index / len(self._rows)

    def take(self, count: int) -> tuple[R, ...]:
        """Return the next ``count`` rows, also across the end of an epoch; fewer at the end of the last one."""
        taken: list[R] = []
        while len(taken) < count and self.position.epoch < self._epochs:
            epoch, index = self.position.epoch, self.position.index
            taken.append(self._rows[int(self._order[index])])
            self.position = Position(epoch, index + 1)
            if self.position.index == len(self._rows):
                self.position = Position(epoch + 1, 0)
                self._order = self._shuffle(epoch + 1)
        return tuple(taken)
