"""The rollouts that the static file carries: groups of steps all along the run, and first those that a ready filter of
the rollout browser looks for. They are packed until the file is full."""

from __future__ import annotations

import base64
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from r1ray.page.folders import RolloutFile
from r1ray.page.index import read_rows
from r1ray.page.marks import SUSPICIONS
from r1ray.page.packing import json_of
from r1ray.page.trajectories import MAX_CHARS, group_of

MAX_TRAJECTORIES = 3_000
MAX_FILES = 80
"""That are opened for the sample; each holds the groups of a step."""
MAX_NOTED = 40
"""Groups that are taken because of what they are, of each kind."""
MAX_TOKENS = 400_000
"""That are shown one by one, with the differences of learner and engine; the other trajectories have their texts."""
GZIP = 31
"""Bits of zlib's window, with gzip's header."""
END = 64
"""Bytes that gzip's end and base64's filling take at most."""


@dataclass(frozen=True, slots=True)
class Place:
    """The place of the rows of a group."""

    file: int
    rows: tuple[int, ...]
    """Their numbers in the file."""
    at: tuple[int, ...]
    """Their numbers in the index."""
    num_tokens: int


class Groups:
    """The groups of an index, file by file: of a large run only those that are looked at are ever put together."""

    def __init__(self, index: pa.Table) -> None:
        self._index, self._file = index, index["file"].to_numpy()
        self._known: dict[int, list[Place]] = {}

    @property
    def files(self) -> list[int]:
        """The files that have any."""
        return [int(number) for number in np.unique(self._file)]

    def in_file(self, number: int) -> list[Place]:
        """Return the groups of a file, in order."""
        if number not in self._known:
            begin, end = np.searchsorted(self._file, [number, number + 1]).tolist()
            rows = self._index.slice(begin, end - begin).select(["group_id", "row", "num_policy_tokens"]).to_pylist()
            found: dict[str, list[int]] = defaultdict(list)
            for place, row in enumerate(rows):
                found[row["group_id"]].append(place)
            self._known[number] = [_place(number, begin, places, rows) for places in found.values()]
        return self._known[number]

    def of_row(self, at: int) -> Place:
        """Return the group of a row of the index."""
        return next(place for place in self.in_file(int(self._file[at])) if at in place.at)


def choose(index: pa.Table, suspicions: np.ndarray) -> list[Place]:
    """Return groups for the sample, the first ones before others if not all find room."""
    groups = Groups(index)
    files = groups.files
    spread = {files[round(at)] for at in np.linspace(0, len(files) - 1, min(MAX_FILES, len(files)))}
    in_turn = zip_longest(*(groups.in_file(file) for file in sorted(spread)))
    noted = [groups.of_row(at) for at in _noted(index, suspicions)]
    kept, num_rows = [], 0
    for place in dict.fromkeys([*noted, *filter(None, chain.from_iterable(in_turn))]):
        if num_rows + len(place.rows) <= MAX_TRAJECTORIES:
            kept.append(place)
            num_rows += len(place.rows)
    return kept


def pack(
    places: Sequence[Place], files: Sequence[RolloutFile], suspicions: np.ndarray, *, max_bytes: int
) -> tuple[str, int]:
    """Return the groups as base64 of gzip of lines of JSON, and the number of trajectories that are in it."""
    lines = _lines(places, files, suspicions)
    packer, packed, num_packed = zlib.compressobj(wbits=GZIP), bytearray(), 0
    for place in filter(lines.__contains__, places):
        tried = packer.copy()
        piece = tried.compress(lines[place]) + tried.flush(zlib.Z_SYNC_FLUSH)
        if (len(packed) + len(piece) + END) * 4 / 3 > max_bytes:
            break
        packer, num_packed = tried, num_packed + len(place.rows)
        packed += piece
    packed += packer.flush()
    return base64.b64encode(packed).decode(), num_packed


def _place(file: int, begin: int, places: Sequence[int], rows: Sequence[Mapping[str, Any]]) -> Place:
    """Return a group of the file whose rows begin at ``begin`` in the index."""
    numbers = tuple(rows[place]["row"] for place in places)
    tokens = sum(rows[place]["num_policy_tokens"] or 0 for place in places)
    return Place(file, numbers, tuple(begin + place for place in places), tokens)


def _noted(index: pa.Table, suspicions: np.ndarray) -> Iterator[int]:
    """Yield rows that are suspected, and those of dropped groups by their reasons, all along the run."""
    reasons = sorted(why for why in index["dropped_reason"].unique().to_pylist() if why)
    kinds = [suspicions == number for number in range(1, len(SUSPICIONS))]
    kinds += [pc.fill_null(pc.equal(index["dropped_reason"], why), False).to_numpy() for why in reasons]
    for kind in kinds:
        rows = np.flatnonzero(kind)
        yield from (int(rows[round(at)]) for at in np.linspace(0, len(rows) - 1, min(MAX_NOTED, len(rows))))


def _lines(places: Sequence[Place], files: Sequence[RolloutFile], suspicions: np.ndarray) -> dict[Place, bytes]:
    """Return the line of each group. A file is read once, or twice where some of its groups have their tokens."""
    jobs: dict[tuple[int, bool], list[Place]] = defaultdict(list)
    totals = np.cumsum([place.num_tokens for place in places])
    for place, total in zip(places, totals, strict=True):
        jobs[place.file, bool(total <= MAX_TOKENS)].append(place)
    lines: dict[Place, bytes] = {}
    for (number, has_tokens), wanted in jobs.items():
        file = files[number]
        rows = read_rows(file.path, [row for place in wanted for row in place.rows], has_tokens=has_tokens)
        for place in wanted:
            if found := [rows[row] for row in place.rows if row in rows]:
                marks = [SUSPICIONS[suspicions[at]] for at in place.at]
                group = group_of(found, part=file.part, kind=file.kind, suspicions=marks, max_chars=MAX_CHARS)
                lines[place] = json_of(group | {"at": place.at[0]}).encode() + b"\n"
    return lines
