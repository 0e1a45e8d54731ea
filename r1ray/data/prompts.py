"""The prompts of a run, in their order.

    files --prompt_rows.py--> spool.arrow --(template, order)--> Prompt

The spool returns any row in constant time without holding the file in memory, so the order of an epoch can be a true
shuffle of all rows, and a run can resume at any row.

If domains have ratios, ``pattern_of`` assigns each place in the sequence to a domain, and each domain repeats shuffles
of its own rows.
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
"""Longest period of a mixture, in places."""
MIXED_BY = {"domain": "data.mixture", "environment": "environment.shares"}
"""Columns whose values can have ratios, with the keys of these ratios."""


def untemplated(raw: RawPrompt, form: Form | None) -> Prompt:
    """Return a row as a prompt without a text. Without a form, the prompt has no environment either."""
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
    """The spooled prompts by row number, with the template applied."""

    def __init__(self, spool: Path, render: Callable[[Any], str], form: Form = Form("none")) -> None:  # noqa: B008
        """``form``: form of the messages of prompts that have an environment."""
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
        """Return the first ``count`` prompts, or all if there are fewer."""
        return [self[index] for index in range(min(count, len(self)))]

    def _column(self, name: str) -> Any:
        with pa.ipc.open_file(pa.memory_map(str(self._spool))) as reader:
            batches = [reader.get_batch(i).column(name) for i in range(reader.num_record_batches)]
        return pa.chunked_array(batches).combine_chunks()

    def difficulties(self) -> Float64Array:
        """Return the numbers of the column of difficulty, by row; NaN if there is none."""
        found: Float64Array = self._column("difficulty").to_numpy(zero_copy_only=False)
        return found

    def ids(self) -> list[str]:
        """Return the ids of all prompts, by row."""
        return [str(name) for name in self._column("id").to_pylist()]

    def rows_by(self, column: str) -> dict[str, Int64Array]:
        """Return the row numbers of each value of ``domain`` or ``environment``, in the order of the file. Rows without
        an environment are under the name ``none``."""
        codes = self._column(column).dictionary_encode()
        return {
            str(value) or NO_WORLD: np.flatnonzero(codes.indices.to_numpy() == code)
            for code, value in enumerate(codes.dictionary.to_pylist())
        }


def pattern_of(ratios: Sequence[float]) -> Int64Array:
    """Return the index of the ratio that each place of one period belongs to. In every prefix of the endless
    repetition, the number of places of each differs from its ratio by less than one.

    The n-th turn of a ratio with share s has to lie between the places (n - 1) / s and n / s. Among those that may have
    a place, the one with the earliest deadline gets it, which keeps all such windows (Baruah et al., "Proportionate
    progress", 1996).

    Raises:
        ValueError: the ratios have so many digits that the period is longer than ``MAX_PERIOD``.

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
    """The endless sequence of prompts of a run. Without a curriculum it is a function of the seed only, so a
    :class:`Position` fully describes the state of the run in it. Every epoch is a new shuffle of all rows.

    With a mixture, an epoch has the same length, and domains (or environments) come by their ratios, also across
    epochs. Each goes through a shuffle of its own rows, and through a new one after its end. A small domain reaches the
    end earlier; a large one continues in an epoch where it stopped in the last one.

    A curriculum leaves rows out and orders the others (:mod:`r1ray.data.difficulty`). An epoch then has as many places
    as there are rows within its bounds.
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
            mixture: ratios of domains or environments.
            mixed_by: column of the mixture: ``domain`` or ``environment``.

        Raises UserError for a mixture with names that the table lacks, or with ratios that cannot be kept exactly.
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
        """Return the rows of each domain of a mixture and the domain of each place; all rows if there is no mixture."""
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
        """Return the domain of a place, and the number of its earlier places."""
        place = position.epoch * self._size + position.index
        domain = int(self._pattern[place % len(self._pattern)])
        return domain, self._turns_until(place, domain)

    def _turns_until(self, place: int, domain: int) -> int:
        periods, rest = divmod(place, len(self._pattern))
        return periods * int(self._turns[domain]) + int(self._turns_before[domain, rest])

    def at(self, position: Position) -> Prompt:
        """Return the prompt at a position."""
        return self._table[self._row(position)]

    def take(self) -> tuple[Position, Prompt]:
        """Return the next prompt and its position, which identifies this use of it."""
        if self.position.index == self._size:
            self.position = Position(self.position.epoch + 1, 0)
        taken = self.position
        self.position = Position(taken.epoch, taken.index + 1)
        return taken, self.at(taken)

    def observe(self, position: Position, group: ScoredGroup) -> None:
        """Record the result of the prompt at a position."""
        if self._curriculum is not None:
            self._curriculum.observe(self._row(position), group)

    def state(self, oldest: Position) -> dict[str, Any]:
        """Return, as JSON, the state besides the seed that determines the sequence from a position on."""
        if self._curriculum is None or not self._curriculum.is_measured:
            return {}
        place = oldest.epoch * self._size + oldest.index
        passes = [each.state(self._turns_until(place, domain)) for domain, each in enumerate(self._passes)]
        return {"observed": self._curriculum.state(), "passes": passes}

    def load(self, state: Mapping[str, Any]) -> None:
        """Restore a state. An empty one is the initial state. Places that have been reached keep their prompts."""
        if self._curriculum is None or not self._curriculum.is_measured:
            return
        self._curriculum.load(state.get("observed"))
        for passes, saved in zip(self._passes, state.get("passes", ()), strict=False):
            passes.load(saved)

    def metrics(self) -> dict[str, float]:
        """Return ``difficulty/*`` of metrics.jsonl."""
        return {} if self._curriculum is None else self._curriculum.metrics()
