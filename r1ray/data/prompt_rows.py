"""The rows of prompt files, read once in batches, checked row by row, and spooled to a memory-mapped Arrow file.

files --(layouts, or the user's own columns)--> RawPrompt, each rendered once --> spool.arrow
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa

from r1ray.checks import Check, CodeTests, OwnCheck
from r1ray.config.sources import Source
from r1ray.data.bad_rows import BadRows
from r1ray.data.checks import CHECK_TYPES, MalformedRow, UnusableRow, check_problem, dump_check
from r1ray.data.difficulty import number_in
from r1ray.data.formats import BATCH_ROWS
from r1ray.data.layouts import RawPrompt, unknown_columns
from r1ray.data.own_columns import OwnColumns, RowLayout, carried
from r1ray.data.rendering import Render, refusals
from r1ray.data.spool import Row, named, read_rows
from r1ray.errors import UserError

TEXTS = ("id", "question", "check", "domain", "language", "columns", "environment")
SCHEMA = pa.schema([*((name, pa.string()) for name in TEXTS), ("difficulty", pa.float64())])


@dataclass(frozen=True, slots=True)
class SpoolReport:
    """The findings from reading a prompt file."""

    layout: str
    num_rows: int
    quarantined: tuple[str, ...]
    """Ids and reasons of rows without a usable reference, which are left out."""
    programs: frozenset[str] = frozenset()
    """Languages of requested programs."""
    kinds: frozenset[tuple[str, str]] = frozenset()
    """Domains and types of check of the prompts."""
    not_carried: Mapping[str, int] = field(default_factory=dict)
    """Columns that do not travel with prompts (:func:`r1ray.data.own_columns.carried`), with their numbers of rows."""
    not_shown: Mapping[str, int] = field(default_factory=dict)
    """Columns with images and the like that prompts do not show, with their numbers of rows."""
    own_checks: frozenset[str] = frozenset()
    """Paths of the checks of the user's own that rows, or ``data.check``, name."""
    environments: Mapping[str, int] = field(default_factory=dict)
    """Number of prompts of each environment, by its name."""

    @property
    def remarks(self) -> list[str]:
        """Return the lines that a run logs about the user's own columns."""
        left, unseen = (
            [f"{name} ({count} rows)" for name, count in counts.items()]
            for counts in (self.not_carried, self.not_shown)
        )
        own = [f"responses are judged by {', '.join(sorted(self.own_checks))}"] if self.own_checks else []
        worlds = [f"{name} ({count} prompts)" for name, count in sorted(self.environments.items())]
        own += [f"trajectories are in the environments {', '.join(worlds)}"] if worlds else []
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
    world_problem: Callable[[RawPrompt], str | None] = lambda raw: None,
) -> SpoolReport:
    """Read ``path``, check and render every row, and write the usable ones to ``spool`` as an Arrow file.

    Args:
        problem: returns the reason why a check and a language cannot judge anything, None if they can. Rows with a
            reason are quarantined.
        columns: the user's own names for columns, and the function that makes checks of rows.
        make_render: makes the function that renders a question, as in :func:`r1ray.data.rendering.refusals`. None: the
            prompts are not rendered.
        on_bad_row: value of ``data.on_bad_row``.
        difficulty: column of the prompts' difficulty.
        world_problem: returns the reason why the environment of a row cannot use it, None if it can; raises UserError
            for an environment that does not exist.

    Raises:
        UserError: there is no such file, its layout is unknown, rows are bad (the first few are named), or none is
            usable.
    """
    reading = _Reading(
        path,
        key=key,
        problem=problem,
        world_problem=world_problem,
        on_bad_row=on_bad_row,
        columns=columns,
        difficulty=difficulty,
    )
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
                "environment": [raw.environment for raw in batch],
                "difficulty": [raw.difficulty for raw in batch],
            }
            writer.write_batch(pa.record_batch(arrays, schema=SCHEMA))
    return reading.report()


class _Reading:
    """One pass over a source, with its findings."""

    def __init__(
        self,
        path: Source,
        *,
        key: str,
        problem: Callable[[Check, str], str | None],
        world_problem: Callable[[RawPrompt], str | None],
        on_bad_row: str,
        columns: OwnColumns,
        difficulty: str | None,
    ) -> None:
        self._named, self._key, self._problem, self._columns = named(path, key=key), key, problem, columns
        self._difficulty, self._world_problem = difficulty, world_problem
        self._environments: Counter[str] = Counter()
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
                self._environments.update([raw.environment] if raw.environment else [])
            self._num_written += len(batch)
            yield batch

    def _rendered(self, make_render: Callable[[], Render] | None) -> Iterator[list[RawPrompt]]:
        """Yield the prompts that the template does not refuse."""
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
            text, left = carried(row.values, file=row.file if raw.environment else None)
            raw = replace(raw, columns=text, difficulty=hardness)
            try:
                reason = self._problem(raw.check, raw.language)
                if reason is None and raw.environment:
                    reason = self._world_problem(raw)
            except UserError as error:  # from a check or an environment of the user's own
                raise UserError(f"{self._named}: {row.place}: {error}") from error
            if reason is None:
                self._not_carried.update(left)
                self._not_shown.update(self._columns.not_shown(row.values))
                yield row.place, raw
            else:
                self._quarantined.append(f"{raw.id} ({reason})")

    def _layout(self, row: Row) -> RowLayout:
        """Return the layout of a row's file, determined by its first readable row. Raises UserError."""
        if row.file not in self._layouts:
            place = self._named if len(self._layouts) == 0 else f"{self._named}: {row.place}"
            layout = self._columns.layout_of(frozenset(row.values), key=self._key, named=place)
            if layout is None:
                raise UserError(f"{place}: {unknown_columns(row.values)}.")
            self._layouts[row.file] = layout
        return self._layouts[row.file]

    def report(self) -> SpoolReport:
        """Return the report on the whole source. Raises UserError if it cannot be used."""
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
            environments=dict(self._environments),
        )
