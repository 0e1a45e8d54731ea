"""Curriculum: choice and order of the prompts in a pass over the data by their difficulty.

    column or file --bounds--> rows --(choose: band, retirement)--> the rows of a pass --(order)--> one after the other
                                         ^-- observe <-- groups that have ended

The rows of a pass are chosen when it begins, from the results known then. Later results do not change them, so each
place in the sequence keeps its prompt: a group that is issued again has the same prompt. Late results (of groups that
are still under way when a pass begins) count in the next pass.

The observed results are saved with every checkpoint, together with the choices of passes that have groups in flight.
"""

from __future__ import annotations

import base64
import logging
import math
import zlib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from r1ray.config.difficulty import DifficultyConfig
from r1ray.data.checks import MalformedRow, is_absent
from r1ray.data.spool import rows_of
from r1ray.errors import UserError
from r1ray.types import Scored, ScoredGroup

logger = logging.getLogger(__name__)

Int64Array: TypeAlias = npt.NDArray[np.int64]
Float64Array: TypeAlias = npt.NDArray[np.float64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]


class Difficulties(Protocol):
    """The prompts of a run: a :class:`r1ray.data.prompts.PromptTable`."""

    def __len__(self) -> int: ...

    def ids(self) -> list[str]: ...

    def difficulties(self) -> Float64Array: ...


class Curriculum:
    """The known difficulty of each prompt, and the choice of prompts for a pass."""

    def __init__(self, config: DifficultyConfig, values: Float64Array) -> None:
        """
        Args:
            values: values of ``config.column``, by row number; NaN if there is none.

        Raises:
            UserError: no prompt lies within the bounds, or a pass rate is invalid.
        """
        self._config, self._values, self._has_told = config, values, False
        if config.measures == "pass_rate" and (outside := values[(values < 0) | (values > 1)]).size:
            raise UserError(
                f"data.difficulty.column={config.column}: found a pass rate of {outside[0]:g}; needs shares from 0 to "
                "1, or data.difficulty.measures=difficulty."
            )
        self.rows = np.flatnonzero(self._is_within())
        """Row numbers of the rows within the bounds."""
        if not self.rows.size:
            raise UserError(
                f"data.difficulty: none of {len(values)} prompts has a {config.column} from {_bound(config.min)} to "
                f"{_bound(config.max)}; needs other bounds."
            )
        self._forget()

    def _forget(self) -> None:
        """Reset the knowledge to that at the start."""
        is_rate = self._config.measures == "pass_rate"
        known = self._values if is_rate else np.full(len(self._values), np.nan)
        self._rates = known.astype(np.float32)  # of the last group; NaN if unknown
        self._in_a_row = np.zeros(len(self._values), dtype=np.int32)  # successive groups with only right responses

    def _is_within(self) -> BoolArray:
        low, high = self._config.min, self._config.max
        if low is None and high is None:
            return np.ones(len(self._values), dtype=bool)
        within = (self._values >= (-np.inf if low is None else low)) & (
            self._values <= (np.inf if high is None else high)
        )
        return np.asarray(within, dtype=bool)

    @property
    def is_measured(self) -> bool:
        """True if the choice of a pass depends on observed results."""
        return self._config.is_measured

    def sort(self, rows: Int64Array) -> Int64Array:
        """Return rows in the order of a pass. Equally hard rows keep their order."""
        if self._config.order == "shuffled":
            return rows
        is_up = (self._config.order == "easy_first") == (self._config.measures == "difficulty")
        keys = self._values[rows] if is_up else -self._values[rows]
        return rows[np.argsort(keys, kind="stable")]  # NaN comes last

    def choose(self, rows: Int64Array, number: int) -> BoolArray:
        """Return a mask of the rows that come in a pass: those that are not retired, and among rows outside the band
        those whose turn it is. If none is left, all rows that are not retired come, or else all rows."""
        is_active = ~self._is_retired(rows)
        is_turn = (rows + number) % self._config.revisit_passes == 0
        chosen = is_active & (self._is_in_band(rows) | np.isnan(self._rates[rows]) | is_turn)
        if not is_active.any():
            if not self._has_told:
                logger.warning("data.difficulty.retire_after: every prompt is solved; all of them come again")
            self._has_told = True
            return np.ones(len(rows), dtype=bool)
        return chosen if chosen.any() else is_active

    def _is_retired(self, rows: Int64Array) -> BoolArray:
        after = self._config.retire_after
        return np.asarray((self._in_a_row[rows] >= after) & (after > 0), dtype=bool)

    def _is_in_band(self, rows: Int64Array) -> BoolArray:
        low, high = self._config.band or (0.0, 1.0)
        rates = self._rates[rows]
        return np.asarray((rates >= np.float32(low)) & (rates <= np.float32(high)), dtype=bool)

    def observe(self, row: int, group: ScoredGroup) -> None:
        """Record the pass rate of a group that has ended, over its responses that have the part of the reward."""
        found = [each.outcome.parts for each in group.trajectories if isinstance(each.outcome, Scored)]
        values = [min(max(parts[self._config.part], 0.0), 1.0) for parts in found if self._config.part in parts]
        if not values or not self.is_measured:
            return
        self._rates[row] = sum(values) / len(values)
        self._in_a_row[row] = self._in_a_row[row] + 1 if min(values) >= 1 else 0

    def metrics(self) -> dict[str, float]:
        """Return ``difficulty/*`` of metrics.jsonl."""
        if not self.is_measured:
            return {}
        num_known = int((~np.isnan(self._rates[self.rows])).sum())
        found = {
            "difficulty/measured": num_known / len(self.rows),
            "difficulty/retired": float(self._is_retired(self.rows).sum()),
        }
        if self._config.band and num_known:
            found["difficulty/in_band"] = float(self._is_in_band(self.rows).sum()) / num_known
        return found

    def state(self) -> dict[str, Any]:
        """Return the observed results as JSON."""
        return {"rates": _pack(self._rates), "in_a_row": _pack(self._in_a_row)} if self.is_measured else {}

    def load(self, state: Mapping[str, Any] | None) -> None:
        """Restore a state of :meth:`state`; None: the initial one. Raises ValueError if it is of other prompts."""
        self._forget()
        if state and self.is_measured:
            self._rates = _unpack(state["rates"], self._rates)
            self._in_a_row = _unpack(state["in_a_row"], self._in_a_row)


class Passes:
    """The endless sequence of some rows: one shuffle after another, each of the rows that are chosen for that pass."""

    def __init__(self, rows: Int64Array, *, seed: int, stream: tuple[int, ...], curriculum: Curriculum | None) -> None:
        """
        Args:
            stream: distinguishes sequences that share a seed.
        """
        self._rows, self._seed, self._stream, self._curriculum = rows, seed, stream, curriculum
        self._first, self._starts = 0, [0]  # pass first + i begins at use starts[i]; the last one has not begun
        self._chosen: list[BoolArray] = []  # masks of the rows, by pass
        self._orders: dict[int, Int64Array] = {}

    def row(self, use: int) -> int:
        """Return the row at a place of the sequence."""
        number, index = self._place(use)
        if number not in self._orders:
            self._orders = {other: order for other, order in self._orders.items() if abs(other - number) < 2}
            self._orders[number] = self._order(number)
        return int(self._orders[number][index])

    def _place(self, use: int) -> tuple[int, int]:
        """Return the pass and the place in it. A pass begins when it is first reached."""
        if self._curriculum is None or not self._curriculum.is_measured:
            return divmod(use, len(self._rows))
        while use >= self._starts[-1]:
            chosen = self._curriculum.choose(self._rows, self._first + len(self._chosen))
            self._chosen.append(chosen)
            self._starts.append(self._starts[-1] + int(chosen.sum()))
        which = bisect_right(self._starts, use) - 1
        return self._first + which, use - self._starts[which]

    def _order(self, number: int) -> Int64Array:
        shuffle = np.random.default_rng([self._seed, number, *self._stream]).permutation(len(self._rows))
        if self._curriculum is None:
            return self._rows[shuffle]
        if self._curriculum.is_measured:
            shuffle = shuffle[self._chosen[number - self._first][shuffle]]
        return self._curriculum.sort(self._rows[shuffle])

    def state(self, oldest: int) -> dict[str, Any]:
        """Return the passes from a place on, as JSON."""
        skipped = max(0, min(bisect_right(self._starts, oldest) - 1, len(self._chosen)))
        chosen = [_pack(np.packbits(each)) for each in self._chosen[skipped:]]
        return {"first": self._first + skipped, "starts": self._starts[skipped:], "chosen": chosen}

    def load(self, state: Mapping[str, Any]) -> None:
        """Restore passes that began in an earlier process. Those that began in this one stay unchanged."""
        if self._chosen:
            return
        size = len(self._rows)
        like = np.empty(-(-size // 8), dtype=np.uint8)
        self._first, self._starts = int(state["first"]), [int(start) for start in state["starts"]]
        self._chosen = [np.unpackbits(_unpack(each, like), count=size).astype(bool) for each in state["chosen"]]


def _bound(value: float | None) -> str:
    return "any" if value is None else f"{value:g}"


def _pack(values: npt.NDArray[Any]) -> str:
    return base64.b64encode(zlib.compress(values.tobytes(), 1)).decode()


def _unpack(text: str, like: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the packed array, which has to have the form of ``like``. Raises ValueError."""
    values = np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=like.dtype)
    if values.shape != like.shape:
        raise ValueError(f"the state of the curriculum is of {len(values)} prompts, and there are {len(like)}")
    return values.copy()


def number_in(row: Mapping[str, Any], column: str) -> float | None:
    """Return the number in a column of a row; None if it has none. Raises MalformedRow."""
    value = row.get(column)
    if is_absent(value):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise MalformedRow(f"data.difficulty.column={column}: needs a number, found {value!r:.40}")
    return float(value)


def read_values(file: str, column: str, ids: Sequence[str]) -> Float64Array:
    """Return the number of each prompt by its id, from a file of ids and numbers; NaN if it has none. Raises
    UserError."""
    key, known = "data.difficulty.file", {}
    for number, row in rows_of(file, key=key):
        try:
            if (value := number_in(row, column)) is not None and not is_absent(row.get("id")):
                known[str(row["id"])] = value
        except MalformedRow as error:
            raise UserError(f"{key}={file}: row {number}: {error}.") from error
    return np.array([known.get(each, np.nan) for each in ids])


def curriculum_of(config: DifficultyConfig, table: Difficulties) -> Curriculum | None:
    """Return the curriculum of a run; None if every prompt comes in every pass in any order. Raises UserError."""
    if config == DifficultyConfig():
        return None
    values = np.full(len(table), np.nan)
    if config.column is not None:
        values = read_values(config.file, config.column, table.ids()) if config.file else table.difficulties()
        num_known = int((~np.isnan(values)).sum())
        if not num_known:
            where = f" in {config.file}, whose rows have an id" if config.file else ""
            raise UserError(
                f"data.difficulty.column={config.column}: no prompt of data.train has a number there{where}; needs the "
                "name of such a column."
            )
        logger.info(f"data.difficulty: {num_known} of {len(values)} prompts have a number in {config.column}")
    curriculum = Curriculum(config, values)
    if left_out := len(values) - len(curriculum.rows):
        logger.info(f"data.difficulty: {left_out} of {len(values)} prompts are outside its bounds, and are left out")
    return curriculum
