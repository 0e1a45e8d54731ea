"""Prompt files: read once in batches, checked row by row, spooled to a memory-mapped Arrow file.

    files --(layouts)--> RawPrompt rows, each rendered once --> spool.arrow --(template, order)--> Prompt

The spool gives any row in constant time without holding the file in memory, so the order of an epoch can be a
true shuffle of all rows, and a run can resume at any row.

Where domains have ratios, ``pattern_of`` says whose turn each place in the sequence is, and each domain has a shuffle
of its own that it goes through again and again.
"""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from r1ray.checks import Check, CodeTests, OwnCheck
from r1ray.config.sources import Source
from r1ray.data.bad_rows import BadRows
from r1ray.data.checks import CHECK_TYPES, MalformedRow, UnusableRow, check_problem, dump_check, load_check
from r1ray.data.difficulty import Curriculum, Float64Array, Int64Array, Passes, number_in
from r1ray.data.formats import BATCH_ROWS
from r1ray.data.layouts import RawPrompt, unknown_columns
from r1ray.data.own_columns import OwnColumns, RowLayout, carried
from r1ray.data.rendering import Render, refusals
from r1ray.data.spool import Row, SpooledRows, named, read_rows
from r1ray.errors import UserError
from r1ray.types import Position, Prompt, ScoredGroup

MAX_PERIOD = 100_000
"""Places after which a mixture repeats itself."""
TEXTS = ("id", "question", "check", "domain", "language", "columns")
SCHEMA = pa.schema([*((name, pa.string()) for name in TEXTS), ("difficulty", pa.float64())])


@dataclass(frozen=True, slots=True)
class SpoolReport:
    """What reading a prompt file found."""

    layout: str
    num_rows: int
    quarantined: tuple[str, ...]
    """Ids and reasons of rows without a usable reference; they are left out."""
    programs: frozenset[str] = frozenset()
    """Languages in which programs are asked for."""
    kinds: frozenset[tuple[str, str]] = frozenset()
    """Domain and type of check of the prompts."""
    not_carried: Mapping[str, int] = field(default_factory=dict)
    """Columns that do not travel with the prompts of so many rows: see :func:`r1ray.data.own_columns.carried`."""
    not_shown: Mapping[str, int] = field(default_factory=dict)
    """Columns with images and the like that the prompts of so many rows are without."""
    own_checks: frozenset[str] = frozenset()
    """Paths of the checks of the user's own that rows, or ``data.check``, name."""

    @property
    def remarks(self) -> list[str]:
        """What a run says of the columns of the user's own."""
        left, unseen = (
            [f"{name} ({count} rows)" for name, count in counts.items()]
            for counts in (self.not_carried, self.not_shown)
        )
        own = [f"responses are judged by {', '.join(sorted(self.own_checks))}"] if self.own_checks else []
        carried = "hold images or other bytes, or very long values, and do not reach functions of yours"
        own += (
            [f"the model is asked without these columns of images, videos or sound: {', '.join(unseen)}"]
            if unseen
            else []
        )
        return own + ([f"these columns {carried}: {', '.join(left)}"] if left else [])


def spool_prompts(
    path: Source,
    spool: Path,
    *,
    key: str,
    problem: Callable[[Check, str], str | None] = lambda check, language: check_problem(check),
    columns: OwnColumns = OwnColumns(),  # noqa: B008
    make_render: Callable[[], Render] | None = None,
    on_bad_row: str = "refuse",
    difficulty: str | None = None,
) -> SpoolReport:
    """Read ``path``, check and render every row, and write the usable ones to ``spool`` as an Arrow file.

    Args:
        problem: why nothing can be judged by a check and a language, None where it can; such rows are quarantined.
        columns: the user's own names for columns, and what makes checks of them.
        make_render: makes what renders a question, as in :func:`r1ray.data.rendering.refusals`. None: the prompts are
            not rendered.
        on_bad_row: of ``data.on_bad_row``.
        difficulty: the column of numbers that say how hard a prompt is.

    Raises:
        UserError: no such file, unknown layout, bad rows (the first few are named), or nothing usable.
    """
    reading = _Reading(path, key=key, problem=problem, on_bad_row=on_bad_row, columns=columns, difficulty=difficulty)
    spool.parent.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(spool), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        for batch in reading.batches(make_render):
            arrays = {
                "id": [raw.id for raw in batch],
                "question": [json.dumps(raw.question, ensure_ascii=False) for raw in batch],
                "check": [dump_check(raw.check) for raw in batch],
                "domain": [raw.domain for raw in batch],
                "language": [raw.language for raw in batch],
                "columns": [raw.columns for raw in batch],
                "difficulty": [raw.difficulty for raw in batch],
            }
            writer.write_batch(pa.record_batch(arrays, schema=SCHEMA))
    return reading.report()


class _Reading:
    """One pass over a source, and what it finds."""

    def __init__(
        self,
        path: Source,
        *,
        key: str,
        problem: Callable[[Check, str], str | None],
        on_bad_row: str,
        columns: OwnColumns,
        difficulty: str | None,
    ) -> None:
        self._named, self._key, self._problem, self._columns = named(path, key=key), key, problem, columns
        self._difficulty = difficulty
        self._own_checks: set[str] = set()
        self._not_carried: Counter[str] = Counter()
        self._not_shown: Counter[str] = Counter()
        self._bad = BadRows(self._named, on_bad_row=on_bad_row)
        self._rows = read_rows(path, key=key, bad=self._bad)
        self._layouts: dict[str, RowLayout] = {}
        self._quarantined: list[str] = []
        self._languages: set[str] = set()
        self._kinds: set[tuple[str, str]] = set()
        self._num_written = 0

    def batches(self, make_render: Callable[[], Render] | None) -> Iterator[list[RawPrompt]]:
        """Yield the usable prompts."""
        for batch in self._rendered(make_render):
            for raw in batch:
                self._languages.update([raw.check.language] if isinstance(raw.check, CodeTests) else [])
                self._kinds.add((raw.domain, CHECK_TYPES[type(raw.check)]))
                self._own_checks.update([raw.check.path] if isinstance(raw.check, OwnCheck) else [])
            self._num_written += len(batch)
            yield batch

    def _rendered(self, make_render: Callable[[], Render] | None) -> Iterator[list[RawPrompt]]:
        """Yield prompts without those that the template refuses."""
        judged = self._judged()
        batches = iter(lambda: list(itertools.islice(judged, BATCH_ROWS)), [])
        if make_render is None:
            yield from ([raw for _, raw in batch] for batch in batches)
            return
        for batch, reasons in refusals(batches, make_render, question=lambda item: item[1].question):
            for (place, _), reason in zip(batch, reasons, strict=True):
                if reason is not None:
                    self._bad.note(place, reason)
            yield [raw for (_, raw), reason in zip(batch, reasons, strict=True) if reason is None]

    def _judged(self) -> Iterator[tuple[str, RawPrompt]]:
        """Yield prompts that can be judged, with their places."""
        for row in self._rows:
            try:
                raw = self._layout(row).read(row.values, row.index)
                hardness = None if self._difficulty is None else number_in(row.values, self._difficulty)
            except MalformedRow as error:
                self._bad.note(row.place, error)
                continue
            except UnusableRow as error:
                self._quarantined.append(f"{row.place} ({error})")
                continue
            try:
                reason = self._problem(raw.check, raw.language)
            except UserError as error:  # a check of the user's own
                raise UserError(f"{self._named}: {row.place}: {error}") from error
            if reason is None:
                text, left = carried(row.values)
                self._not_carried.update(left)
                self._not_shown.update(self._columns.not_shown(row.values))
                yield row.place, replace(raw, columns=text, difficulty=hardness)
            else:
                self._quarantined.append(f"{raw.id} ({reason})")

    def _layout(self, row: Row) -> RowLayout:
        """Return the layout of a row's file, which the first row that can be read decides. Raises UserError."""
        if row.file not in self._layouts:
            place = self._named if len(self._layouts) == 0 else f"{self._named}: {row.place}"
            layout = self._columns.layout_of(frozenset(row.values), key=self._key, named=place)
            if layout is None:
                raise UserError(f"{place}: {unknown_columns(row.values)}.")
            self._layouts[row.file] = layout
        return self._layouts[row.file]

    def report(self) -> SpoolReport:
        """Return what the whole source was. Raises UserError where it cannot be used."""
        quarantined, written = self._quarantined, self._num_written
        self._bad.settle(num_others=written + len(quarantined))
        if not written and not quarantined:
            raise UserError(f"{self._named}: the file has no rows; needs at least one prompt.")
        if not written:
            raise UserError(
                f"{self._named}: none of its {len(quarantined)} rows has a usable reference: {quarantined[0]}."
            )
        layouts = " and ".join(dict.fromkeys(layout.name for layout in self._layouts.values()))
        return SpoolReport(
            layouts,
            written,
            tuple(quarantined),
            frozenset(self._languages),
            frozenset(self._kinds),
            not_carried=dict(self._not_carried),
            not_shown=dict(self._not_shown),
            own_checks=frozenset(self._own_checks),
        )


class PromptTable:
    """The spooled prompts by row number, template applied."""

    def __init__(self, spool: Path, render: Callable[[Any], str]) -> None:
        self._rows = SpooledRows(spool)
        self._spool, self._render = spool, render

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
            columns=json.loads(row["columns"]),
        )

    def first(self, count: int) -> list[Prompt]:
        """The first prompts, as many as there are."""
        return [self[index] for index in range(min(count, len(self)))]

    def _column(self, name: str) -> Any:
        with pa.ipc.open_file(pa.memory_map(str(self._spool))) as reader:
            batches = [reader.get_batch(i).column(name) for i in range(reader.num_record_batches)]
        return pa.chunked_array(batches).combine_chunks()

    def difficulties(self) -> Float64Array:
        """Numbers of the column that says how hard a prompt is, by row; NaN where there is none."""
        found: Float64Array = self._column("difficulty").to_numpy(zero_copy_only=False)
        return found

    def ids(self) -> list[str]:
        """Names of all prompts, by row."""
        return [str(name) for name in self._column("id").to_pylist()]

    def rows_by_domain(self) -> dict[str, Int64Array]:
        """Row numbers of each domain, in the order of the file."""
        codes = self._column("domain").dictionary_encode()
        return {
            str(domain): np.flatnonzero(codes.indices.to_numpy() == code)
            for code, domain in enumerate(codes.dictionary.to_pylist())
        }


def pattern_of(ratios: Sequence[float]) -> Int64Array:
    """Whose turn each place of one period is. In every beginning of the endless repetition each has less than one place
    more or less than its ratio.

    The n-th turn of one with share s has to come between the places (n - 1) / s and n / s; of those that may come, the
    one whose time ends first does, which keeps every such window (Baruah et al., "Proportionate progress", 1996).

    Raises:
        ValueError: ratios with so many digits that the period is longer than ``MAX_PERIOD``.

    >>> pattern_of([3, 1]).tolist()
    [0, 0, 0, 1]
    """
    exact = [Fraction(str(ratio)) for ratio in ratios]
    scaled = [int(ratio * math.lcm(*(each.denominator for each in exact))) for ratio in exact]
    counts = [count // math.gcd(*scaled) for count in scaled]
    period = sum(counts)
    if period > MAX_PERIOD:
        raise ValueError(f"they repeat after {period} rows; needs ratios of fewer digits")
    pattern, taken = np.empty(period, dtype=np.int64), [0] * len(counts)
    for place in range(period):
        may_come = [i for i, n in enumerate(taken) if n * period // counts[i] <= place and n < counts[i]]
        turn = min(may_come, key=lambda i: -(-(taken[i] + 1) * period // counts[i]))
        pattern[place] = turn
        taken[turn] += 1
    return pattern


class PromptCursor:
    """The endless sequence of prompts of a run. Without a curriculum it is a function of the seed alone, so that a
    :class:`Position` says everything about where the run stands. Every epoch is a new shuffle of all rows.

    With a mixture, an epoch is as long, and domains come by their ratios, over epochs too. Each goes through its own
    rows in a shuffle of its own, and through a new one when it has come to the end: a small one comes to it earlier, a
    large one takes up in an epoch where the last one has left off.

    A curriculum leaves rows out and puts the others into an order (:mod:`r1ray.data.difficulty`). An epoch is as many
    places as there are rows within its bounds.
    """

    def __init__(
        self,
        table: PromptTable,
        *,
        seed: int,
        position: Position,
        mixture: Mapping[str, float] | None = None,
        curriculum: Curriculum | None = None,
    ) -> None:
        """Raises UserError for a mixture of domains that the table lacks, or that cannot be kept exactly."""
        self._table, self._curriculum = table, curriculum
        self.position = position
        rows = np.arange(len(table)) if curriculum is None else curriculum.rows
        self._size = len(rows)
        domains, self._pattern = self._mix(mixture, rows)
        self._passes = [
            Passes(of_domain, seed=seed, stream=(domain,) if mixture else (), curriculum=curriculum)
            for domain, of_domain in enumerate(domains)
        ]
        turns = self._pattern == np.arange(len(domains))[:, None]
        self._turns_before = np.cumsum(turns, axis=1) - turns  # [D, period]
        self._turns = turns.sum(axis=1)

    def _mix(self, mixture: Mapping[str, float] | None, usable: Int64Array) -> tuple[list[Int64Array], Int64Array]:
        """Return the rows of each domain of a mixture, and whose turn each place is; without one all rows."""
        if not mixture:
            return [usable], np.zeros(1, dtype=np.int64)
        all_rows = self._table.rows_by_domain()
        rows = {domain: found[np.isin(found, usable)] for domain, found in all_rows.items()}
        there = ", ".join(sorted(domain for domain, found in rows.items() if len(found)))
        for domain in mixture:
            if not len(rows.get(domain, ())):
                bounds = " within the bounds of data.difficulty" if domain in rows else ""
                raise UserError(
                    f"data.mixture.{domain}: no row of data.train has this domain{bounds}; there are {there}."
                )
        try:
            return [rows[domain] for domain in mixture], pattern_of(list(mixture.values()))
        except ValueError as error:
            raise UserError(f"data.mixture={dict(mixture)}: {error}.") from error

    def _row(self, position: Position) -> int:
        domain, use = self._turn(position)
        return self._passes[domain].row(use)

    def _turn(self, position: Position) -> tuple[int, int]:
        """Return whose turn a place is, and how many turns it had before."""
        place = position.epoch * self._size + position.index
        domain = int(self._pattern[place % len(self._pattern)])
        return domain, self._turns_until(place, domain)

    def _turns_until(self, place: int, domain: int) -> int:
        periods, rest = divmod(place, len(self._pattern))
        return periods * int(self._turns[domain]) + int(self._turns_before[domain, rest])

    def at(self, position: Position) -> Prompt:
        """The prompt at a position."""
        return self._table[self._row(position)]

    def take(self) -> tuple[Position, Prompt]:
        """The next prompt and its position, which names this use of it."""
        if self.position.index == self._size:
            self.position = Position(self.position.epoch + 1, 0)
        taken = self.position
        self.position = Position(taken.epoch, taken.index + 1)
        return taken, self.at(taken)

    def observe(self, position: Position, group: ScoredGroup) -> None:
        """Note what became of the prompt at a position."""
        if self._curriculum is not None:
            self._curriculum.observe(self._row(position), group)

    def state(self, oldest: Position) -> dict[str, Any]:
        """Return, as JSON, what the sequence rests on beside the seed, for all places from a position on."""
        if self._curriculum is None or not self._curriculum.is_measured:
            return {}
        place = oldest.epoch * self._size + oldest.index
        passes = [each.state(self._turns_until(place, domain)) for domain, each in enumerate(self._passes)]
        return {"observed": self._curriculum.state(), "passes": passes}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go back to a state; an empty one is that of the start. Places that were come to keep their prompts."""
        if self._curriculum is None or not self._curriculum.is_measured:
            return
        self._curriculum.load(state.get("observed"))
        for passes, saved in zip(self._passes, state.get("passes", ()), strict=False):
            passes.load(saved)

    def metrics(self) -> dict[str, float]:
        """Return ``difficulty/*`` of metrics.jsonl."""
        return {} if self._curriculum is None else self._curriculum.metrics()
