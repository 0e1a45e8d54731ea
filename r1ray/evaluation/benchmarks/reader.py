"""Reader of a local copy of a published set: questions with their checks, and a report of the rows left out."""

from __future__ import annotations

import dataclasses
import datetime
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from r1ray.checks import Check, CodeTests, Judged, Pairwise
from r1ray.data.bad_rows import BadRows
from r1ray.data.checks import MalformedRow, UnusableRow, check_problem
from r1ray.data.own_columns import OwnColumns, carried
from r1ray.data.template import Form, Question
from r1ray.errors import UserError
from r1ray.evaluation.benchmarks.columns import fill, has_column, text_of, value_of
from r1ray.evaluation.benchmarks.definition import Benchmark, Column
from r1ray.evaluation.benchmarks.files import rows_of
from r1ray.evaluation.benchmarks.kinds import MAKERS, Made, OwnRows
from r1ray.types import Prompt

MINIATURE = "miniature"
MALFORMED = "malformed rows are left out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One question of a benchmark, before the chat template."""

    id: str
    """Unique in the benchmark."""
    question: Question
    check: Check
    domain: str
    """The benchmark's name."""
    language: str
    groups: dict[str, str]
    """Groups of grouped means: ``{"subject": "algebra"}``."""
    columns: str = "{}"
    """Columns of the prompt, a JSON object."""
    place: str = ""
    """File and row, ``a.jsonl:3``."""
    environment: str = ""
    """Environment of the question; empty: none, and an answer of one turn."""

    def prompt(self, render: Callable[[Question], str], form: Form) -> Prompt:
        """Return the prompt for a rollout engine or an environment, in the given ``form``."""
        text = render(self.question)
        return Prompt(
            id=self.id,
            text=text,
            check=self.check,
            domain=self.domain,
            language=self.language,
            columns=json.loads(self.columns),
            environment=self.environment,
            messages=form.messages(self.question) if self.environment else (),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkReport:
    """Report of reading a benchmark's data."""

    num_rows: int
    """Rows that belong to the benchmark, including those left out."""
    num_items: int
    """Rows that are asked: less than ``num_rows`` because of rows left out, and of ``limit``."""
    num_outside: int
    """Rows outside of the window of dates, or in another programming language."""
    left_out: tuple[str, ...]
    """Ids and reasons of rows without a usable reference; they count in no metric."""
    remarks: tuple[str, ...]
    """Remarks for a reader of the metrics."""
    programs: frozenset[str]
    """Programming languages of the requested programs."""
    needs_judge: bool


def read_benchmark(
    benchmark: Benchmark,
    path: Any,
    *,
    limit: int | None = None,
    seed: int = 0,
    window: tuple[str, str] | None = None,
    languages: Sequence[str] | None = None,
    command: Sequence[str] | None = None,
    baseline: str | None = None,
    problem: Callable[[Check], str | None] = check_problem,
    columns: OwnColumns = OwnColumns(),  # noqa: B008
    on_bad_row: str = "refuse",
) -> tuple[list[Item], BenchmarkReport]:
    """Return every usable row of a file or folder as an item, and a report.

    Args:
        path: the user's copy, several sets by name, or ``miniature``: the few rows that ship.
        limit: number of rows to draw by ``seed``; the seed also shuffles options if the set leaves their order open.
        window: first and last date, such as ``2024-08-01``; None: the benchmark's own.
        languages: programming languages; None: all in the set.
        command: command that judges a task, for sets with a harness of their own.
        baseline: file with the baseline's answers, if the set has them separately, joined by the field ``id``.
        problem: returns the reason why a check cannot be used, or None; rows with such checks are left out.
        columns: the user's names for columns, and how checks are made from them, for the user's own prompts.
        on_bad_row: as ``data.on_bad_row``, for unreadable rows and malformed rows of the user's own. In a published set
            a row with an unusable reference is always left out.

    Raises:
        UserError: no such file, other columns, bad rows (the first few are named), or no usable row.
    """
    benchmark = _with_command(benchmark, command)
    if benchmark.check != "own" and dataclasses.replace(columns, environment="") != OwnColumns():
        raise UserError(f"columns and check: benchmark={benchmark.name} defines its own columns; leave them out.")
    source = str(benchmark.miniature) if path == MINIATURE else path
    dates = _dates(window or benchmark.window)
    bad = bad_rows(f"data={path}", on_bad_row)
    answers = {} if baseline is None else _by_id(baseline, benchmark.fields.get("id"), on_bad_row)
    own = OwnRows(columns)
    items: list[Item] = []
    left_out: list[str] = []
    remarks: Counter[str] = Counter()
    num_outside = 0
    names: Counter[str] = Counter()
    for number, row in enumerate(_rows(source, bad)):
        row = {**answers.get(text_of(row, benchmark.fields.get("id")), {}), **row}
        if number == 0:
            _check_columns(benchmark, row, source)
        if not _is_inside(row, benchmark, dates):
            num_outside += 1
            continue
        name = _name(row, benchmark, number, names)
        made = _make(row, benchmark, f"{seed}:{name}", problem, own)
        if isinstance(made, MalformedRow):
            bad.note(row["_row"], made)
        elif isinstance(made, str):
            left_out.append(f"{name} ({made})")
        elif _is_other_language(made.check, languages):
            num_outside += 1
        else:
            remarks.update([made.remark] if made.remark else [])
            world = made.asked.environment if made.asked else columns.environment
            items.append(_item(row, benchmark, made, name, world))
    num_rows = len(items) + len(left_out)
    bad.settle(num_others=num_rows + num_outside)
    if bad.count:
        remarks[MALFORMED] = bad.count
    if not items:
        why = f": {left_out[0]}" if left_out else f"; {num_outside} are outside of the window or languages asked for."
        raise UserError(f"data={path}: none of its {num_rows + num_outside} rows can be used{why}")
    if limit is not None and limit < len(items):
        items = [items[i] for i in sorted(random.Random(seed).sample(range(len(items)), limit))]
    return items, BenchmarkReport(
        num_rows=num_rows,
        num_items=len(items),
        num_outside=num_outside,
        left_out=tuple(left_out),
        remarks=tuple(f"{count} {remark}" for remark, count in remarks.items()),
        programs=frozenset(item.check.language for item in items if isinstance(item.check, CodeTests)),
        needs_judge=any(isinstance(item.check, Judged | Pairwise) for item in items),
    )


def bad_rows(named: str, on_bad_row: str) -> BadRows:
    """Return the counter of bad rows for a source of ``r1ray eval``."""
    return BadRows(named, on_bad_row=on_bad_row, key="on_bad_row")


def _rows(source: Any, bad: BadRows) -> Iterator[dict[str, Any]]:
    """Yield the rows of a source, or of several sets, with the set's name in ``_set``."""
    if not isinstance(source, Mapping):
        yield from rows_of(source, bad=bad)
        return
    for name, each in source.items():
        yield from ({"_set": str(name), **row} for row in rows_of(each, key=f"data.{name}", bad=bad))


def _make(
    row: dict[str, Any],
    benchmark: Benchmark,
    seed: str,
    problem: Callable[[Check], str | None],
    own: OwnRows,
) -> Made | MalformedRow | str:
    """Return prompt values and check of a row, or the reason why it cannot be used, or the fault of a row of the user's
    own."""
    try:
        for column, values in benchmark.keep.items():
            if has_column(row, column) and (found := value_of(row, column)) not in values:
                return f"{column} is {found}"
        made = own.read(row) if benchmark.check == "own" else MAKERS[benchmark.check](row, benchmark, seed)
    except (MalformedRow, UnusableRow) as error:
        if benchmark.check == "own" and isinstance(error, MalformedRow):
            return error
        return str(error)
    reason = problem(made.check)
    return made if reason is None else reason


def _is_other_language(check: Check, languages: Sequence[str] | None) -> bool:
    return languages is not None and isinstance(check, CodeTests) and check.language not in languages


def _item(row: dict[str, Any], benchmark: Benchmark, made: Made, name: str, world: str) -> Item:
    columns = benchmark.groups | benchmark.fields
    values = {key: text_of(row, column) for key, column in columns.items() if not isinstance(column, list)}
    prompt = benchmark.prompt if isinstance(benchmark.prompt, str) else benchmark.prompt.get(made.tests)
    if prompt is None:
        raise UserError(f"benchmark={benchmark.name}: prompt has no entry for tests of the kind {made.tests}.")
    groups = {key: text for key, column in benchmark.groups.items() if (text := text_of(row, column))}
    if made.asked and "domain" in benchmark.groups:
        groups["domain"] = made.asked.domain
    if isinstance(made.check, CodeTests):
        groups["program_language"] = made.check.language
    if world:
        groups["environment"] = world
    published = {name: value for name, value in row.items() if not name.startswith("_")}
    return Item(
        id=name,
        question=made.asked.question if made.asked else fill(prompt, values | made.values),
        check=made.check,
        domain=benchmark.name,
        language=made.asked.language if made.asked else benchmark.language,
        groups=groups,
        columns=carried(published, file=row["_file"] if world else None)[0],
        place=row["_row"],
        environment=world,
    )


def _with_command(benchmark: Benchmark, command: Sequence[str] | None) -> Benchmark:
    if command is None:
        return benchmark
    return dataclasses.replace(benchmark, options={**benchmark.options, "command": list(command)})


def _check_columns(benchmark: Benchmark, row: dict[str, Any], source: Any) -> None:
    """Raise UserError if the file has another layout, judged by its first row."""
    optional = {"id", "date", "more_answers", "starter", "note", "time_limit", "memory_limit"}
    missing = [
        column if isinstance(column, str) else ", ".join(column)
        for key, column in benchmark.fields.items()
        if key not in optional and not has_column(row, column)
    ]
    if missing:
        found = ", ".join(sorted(key for key in row if not key.startswith("_")))
        raise UserError(
            f"data={source}: found the columns {found}; benchmark={benchmark.name} needs {'; '.join(missing)}."
        )


def _name(row: dict[str, Any], benchmark: Benchmark, number: int, names: Counter[str]) -> str:
    """Return the row's own id, made unique if files of several subjects use the same ids."""
    own = text_of(row, benchmark.fields.get("id")) or str(number)
    own = f"{row['_set']}/{own}" if "_set" in row else own
    names[own] += 1
    return own if names[own] == 1 else f"{own}#{names[own]}"


def _dates(window: tuple[str, str] | None) -> tuple[datetime.date, datetime.date] | None:
    if window is None:
        return None
    try:
        first, last = (datetime.date.fromisoformat(date) for date in window)
    except ValueError as error:
        raise UserError(f"window={list(window)}: needs two dates as in 2024-08-01: {error}.") from error
    if first > last:
        raise UserError(f"window={list(window)}: the first date is after the last.")
    return first, last


def _is_inside(row: dict[str, Any], benchmark: Benchmark, dates: tuple[datetime.date, datetime.date] | None) -> bool:
    if dates is None:
        return True
    if "date" not in benchmark.fields:
        raise UserError(f"window: the benchmark {benchmark.name} has no field date.")
    date = text_of(row, benchmark.fields["date"])
    try:  # some sets give seconds
        at = datetime.datetime.fromtimestamp(int(date), datetime.UTC).isoformat() if date.isdecimal() else date
        return dates[0] <= datetime.date.fromisoformat(at[:10]) <= dates[1]
    except (ValueError, OverflowError, OSError):
        return False


def _by_id(path: str, column: Column | None, on_bad_row: str) -> dict[str, dict[str, Any]]:
    bad = bad_rows(f"baseline={path}", on_bad_row)
    rows: Iterator[dict[str, Any]] = rows_of(path, key="baseline", bad=bad)
    found = {text_of(row, column): {k: v for k, v in row.items() if not k.startswith("_")} for row in rows}
    bad.settle(num_others=len(found))
    return found
