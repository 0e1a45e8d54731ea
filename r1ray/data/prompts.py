"""The prompts of a run, in their order.

    files --prompt_rows.py--> spool.arrow --(template, order)--> Prompt

The spool gives any row in constant time without holding the file in memory, so the order of an epoch can be a
true shuffle of all rows, and a run can resume at any row.

Where domains have ratios, ``pattern_of`` says whose turn each place in the sequence is, and each domain has a shuffle
of its own that it goes through again and again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from r1ray.config.environment import NO_WORLD
from r1ray.data.checks import load_check
from r1ray.data.difficulty import Curriculum, Float64Array, Int64Array, Passes
from r1ray.data.layouts import RawPrompt
from r1ray.data.position import Position
from r1ray.data.spool import SpooledRows
from r1ray.data.template import Form
from r1ray.errors import UserError
from r1ray.types import Prompt, ScoredGroup

MAX_PERIOD = 100_000
"""Places after which a mixture repeats itself."""
MIXED_BY = {"domain": "data.mixture", "environment": "environment.shares"}
"""Columns whose values have ratios, and the keys that hold them."""


def untemplated(raw: RawPrompt, form: Form | None) -> Prompt:
    """Return a row as a prompt without a text. Without a form, it has no environment either."""
    in_world = form is not None and bool(raw.environment)
    return Prompt(
        id=raw.id,
        text="",
        check=raw.check,
        domain=raw.domain,
        language=raw.language,
        columns=json.loads(raw.columns),
        environment=raw.environment if in_world else "",
        messages=form.messages(raw.question) if form is not None and in_world else (),
    )


class PromptTable:
    """The spooled prompts by row number, template applied."""

    def __init__(self, spool: Path, render: Callable[[Any], str], form: Form = Form("none")) -> None:  # noqa: B008
        """``form``: of the messages of prompts that have an environment."""
        self._rows = SpooledRows(spool)
        self._spool, self._render, self._form = spool, render, form

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Prompt:
        row = self._rows.row(index).to_pylist()[0]
        question = json.loads(row["question"])
        return Prompt(
            id=row["id"],
            text=self._render(question),
            check=load_check(row["check"]),
            domain=row["domain"],
            language=row["language"],
            columns=json.loads(row["columns"]),
            environment=row["environment"],
            messages=self._form.messages(question) if row["environment"] else (),
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

    def rows_by(self, column: str) -> dict[str, Int64Array]:
        """Row numbers of each value of ``domain`` or ``environment``, in the order of the file. Rows without an
        environment have the name ``none``."""
        codes = self._column(column).dictionary_encode()
        return {
            str(value) or NO_WORLD: np.flatnonzero(codes.indices.to_numpy() == code)
            for code, value in enumerate(codes.dictionary.to_pylist())
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

    With a mixture, an epoch is as long, and domains (or environments) come by their ratios, over epochs too. Each goes
    through its own rows in a shuffle of its own, and through a new one when it has come to the end: a small one comes
    to it earlier, a large one takes up in an epoch where the last one has left off.

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
        mixed_by: str = "domain",
        curriculum: Curriculum | None = None,
    ) -> None:
        """
        Args:
            mixture: ratios of domains, or of environments.
            mixed_by: of which: ``domain`` or ``environment``.

        Raises UserError for a mixture of what the table lacks, or that cannot be kept exactly.
        """
        self._mixed_by = mixed_by
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
        all_rows, key = self._table.rows_by(self._mixed_by), MIXED_BY[self._mixed_by]
        rows = {domain: found[np.isin(found, usable)] for domain, found in all_rows.items()}
        there = ", ".join(sorted(domain for domain, found in rows.items() if len(found)))
        for domain in mixture:
            if not len(rows.get(domain, ())):
                bounds = " within the bounds of data.difficulty" if domain in rows else ""
                raise UserError(
                    f"{key}.{domain}: no row of data.train has this {self._mixed_by}{bounds}; there are {there}."
                )
        try:
            return [rows[domain] for domain in mixture], pattern_of(list(mixture.values()))
        except ValueError as error:
            raise UserError(f"{key}={dict(mixture)}: {error}.") from error

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
