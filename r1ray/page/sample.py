"""The rollouts that the static file carries: groups of steps all along the run, and first those that a ready filter of
the rollout browser looks for. They are packed until the file is full."""

from __future__ import annotations

import base64
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

import numpy as np
import pyarrow as pa

from r1ray.page.folders import RolloutFile
from r1ray.page.index import read_rows
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
    """Where the rows of a group stand."""

    file: int
    rows: tuple[int, ...]
    """Their numbers in the file."""
    at: tuple[int, ...]
    """Their numbers in the index."""
    num_tokens: int


def choose(index: pa.Table, suspicions: np.ndarray) -> list[Place]:
    """Return groups for the sample, the first ones before others if not all find room."""
    by_file = places_of(index)
    files = sorted(by_file)
    spread = {files[round(at)] for at in np.linspace(0, len(files) - 1, min(MAX_FILES, len(files)))}
    in_turn = zip_longest(*(by_file[file] for file in sorted(spread)))
    chosen = [*_noted(index, suspicions, by_file), *filter(None, chain.from_iterable(in_turn))]
    kept, num_rows = [], 0
    for place in dict.fromkeys(chosen):
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


def places_of(index: pa.Table) -> dict[int, list[Place]]:
    """Return the groups of each file, in order."""
    found: dict[tuple[int, str], list[int]] = defaultdict(list)
    file, group = index["file"].to_pylist(), index["group_id"].to_pylist()
    for at, key in enumerate(zip(file, group, strict=True)):
        found[key].append(at)
    row = index["row"].to_numpy()
    tokens = np.nan_to_num(index["num_policy_tokens"].to_numpy(zero_copy_only=False).astype(np.float64))
    by_file: dict[int, list[Place]] = defaultdict(list)
    for (number, _), places in found.items():
        place = Place(number, tuple(row[places].tolist()), tuple(places), int(tokens[places].sum()))
        by_file[number].append(place)
    return by_file


def _noted(index: pa.Table, suspicions: np.ndarray, by_file: Mapping[int, Sequence[Place]]) -> list[Place]:
    """Return groups that are suspected, and dropped ones by their reasons, all along the run."""
    at_row = {at: place for places in by_file.values() for place in places for at in place.at}
    reasons = index["dropped_reason"].to_numpy(zero_copy_only=False)
    kinds = [suspicions == why for why in sorted({why for why in suspicions if why is not None})]
    kinds += [reasons == why for why in sorted({why for why in reasons if why is not None})]
    found = []
    for kind in kinds:
        rows = np.flatnonzero(kind)
        found += [at_row[rows[round(at)]] for at in np.linspace(0, len(rows) - 1, min(MAX_NOTED, len(rows)))]
    return found


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
                marks = [suspicions[at] for at in place.at]
                group = group_of(found, part=file.part, kind=file.kind, suspicions=marks, max_chars=MAX_CHARS)
                lines[place] = json_of(group | {"at": place.at[0]}).encode() + b"\n"
    return lines
