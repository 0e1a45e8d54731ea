"""A question to the rollout index: which rows, in what order, from which one on. The page asks the same questions of
the sample in the static file (``assets/static_rollouts.js``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from r1ray.errors import UserError

PAGE = 25
"""Rows; ``assets/filters.js`` has the same."""
CHOSEN = (
    *("part", "kind", "environment", "domain", "language", "label", "status", "outcome", "group_status"),
    "dropped_reason",
)
"""Columns of which one value is chosen."""
RANGES = {"step": "step", "reward": "reward", "length": "num_policy_tokens"}
READY = ("", "mismatch", "suspected", "phrases", "dropped")
SORTS = ("", "step", "reward", "length", "mismatch")
MAX_TEXT = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """The rows that are asked for."""

    chosen: Mapping[str, str] = field(default_factory=dict)
    least: Mapping[str, float] = field(default_factory=dict)
    most: Mapping[str, float] = field(default_factory=dict)
    text: str = ""
    ready: str = ""
    sort: str = ""
    is_descending: bool = True
    offset: int = 0


def read_query(given: Mapping[str, str]) -> Query:
    """Return the query of a request's parameters. Raises UserError."""
    ready, sort, text, offset = (given.get(name, "") for name in ("ready", "sort", "text", "offset"))
    if ready not in READY or sort not in SORTS or len(text) > MAX_TEXT or not (offset or "0").isdecimal():
        raise UserError("no such filter, order or page")
    return Query(
        chosen={name: given[name] for name in CHOSEN if given.get(name)},
        least={name: _number(given[f"{name}_min"]) for name in RANGES if given.get(f"{name}_min")},
        most={name: _number(given[f"{name}_max"]) for name in RANGES if given.get(f"{name}_max")},
        text=text,
        ready=ready,
        sort=sort,
        is_descending=given.get("order") != "up",
        offset=int(offset or "0"),
    )


def rows_like(index: pa.Table, query: Query) -> np.ndarray:
    """Return which rows of the index a query's columns want, [N] bool; its text and ready filters are not looked at."""
    wanted = np.ones(len(index), dtype=bool)
    for name, value in query.chosen.items():
        column = index[name] if name != "part" else pc.cast(index[name], pa.string())
        wanted &= _plain(pc.equal(column, value))
    for name, least in query.least.items():
        wanted &= _plain(pc.greater_equal(index[RANGES[name]], least))
    for name, most in query.most.items():
        wanted &= _plain(pc.less_equal(index[RANGES[name]], most))
    if query.ready == "dropped":
        wanted &= _plain(pc.equal(index["group_status"], "dropped"))
    return wanted


def in_order(rows: np.ndarray, values: np.ndarray, *, is_descending: bool) -> np.ndarray:
    """Return row numbers by their values; those without one are the last, and equal ones stay in order."""
    keys = -values[rows] if is_descending else values[rows]
    return rows[np.argsort(keys, kind="stable")]


def _plain(mask: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(pc.fill_null(mask, False).to_numpy(), dtype=bool)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UserError(f"{text}: needs a number") from error
