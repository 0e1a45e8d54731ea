"""The light columns of every rollout in memory: with them pages are filtered and sorted without opening a file.

rollouts/*.parquet  --read_index-->  a table with a row for each trajectory, and `file` and `row`: where it stands
file, rows          --read_rows--->  those rows with texts and tokens
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from r1ray.page.folders import RolloutFile

LIGHT = pa.schema(
    [
        ("step", pa.int32()),
        ("group_id", pa.string()),
        ("trajectory", pa.int32()),
        ("environment", pa.string()),
        ("domain", pa.string()),
        ("language", pa.string()),
        ("group_status", pa.string()),
        ("dropped_reason", pa.string()),
        ("reward", pa.float64()),
        ("outcome", pa.string()),
        ("label", pa.string()),
        ("advantage", pa.float64()),
        ("status", pa.string()),
        ("num_policy_tokens", pa.int32()),
    ]
)
PLACE = (("part", pa.int32()), ("kind", pa.string()), ("file", pa.int32()), ("row", pa.int32()))
NEEDED = {"step", "group_id", "trajectory"}
"""A file without these is of another layout: its rows cannot be put into groups."""
PER_TOKEN = ("logprobs.", "learner_logprobs.", "token_ends.")
"""Columns inside of ``segments`` that have an item for each token."""
ROWS_AT_A_TIME = 256
THREADS = 4


def read_index(files: Sequence[RolloutFile]) -> pa.Table:
    """Return the light columns of all files, in their order; a column that a file lacks is null. A file that a run
    that goes on has just removed, or that is torn or of another layout, has no rows."""
    with ThreadPoolExecutor(THREADS) as threads:
        tables = threads.map(_read_light, range(len(files)), files)
    empty = pa.schema([*LIGHT, *PLACE]).empty_table()
    return pa.concat_tables([empty, *tables]).combine_chunks()


def read_rows(
    path: Path, rows: Sequence[int], *, columns: Sequence[str] | None = None, has_tokens: bool = True
) -> dict[int, dict[str, Any]]:
    """Return rows of a file by their numbers, without ids of tokens; empty where a run that goes on has removed it.

    Args:
        rows: their numbers in the file.
        columns: those that are wanted; all.
        has_tokens: with what there is of each token: its end in the text, and log-probabilities.
    """
    wanted = np.unique(np.asarray(rows, dtype=np.int64))
    found: dict[int, dict[str, Any]] = {}
    try:
        with pq.ParquetFile(path) as file:
            chosen = [name for name in _leaves(file) if _is_wanted(name, columns, has_tokens)]
            begin = 0
            for batch in file.iter_batches(ROWS_AT_A_TIME, columns=chosen, use_threads=False):
                here = wanted[(wanted >= begin) & (wanted < begin + len(batch))] - begin
                if len(here):
                    values = batch.take(pa.array(here)).to_pylist(maps_as_pydicts="lossy")
                    found |= dict(zip((here + begin).tolist(), values, strict=True))
                begin += len(batch)
                if begin > wanted[-1]:  # what comes after is not decoded
                    break
    except (OSError, pa.ArrowInvalid):
        return {}
    return found


def _leaves(file: pq.ParquetFile) -> list[str]:
    """Return the paths of a file's columns, those inside of structs by themselves."""
    return [file.schema.column(number).path for number in range(len(file.schema.names))]


def _is_wanted(path: str, columns: Sequence[str] | None, has_tokens: bool) -> bool:
    inside = path.removeprefix("segments.list.element.")
    if path.startswith("prompt_tokens.") or inside.startswith("tokens."):
        return False
    if not has_tokens and inside.startswith(PER_TOKEN):
        return False
    return columns is None or any(path == name or path.startswith(f"{name}.") for name in columns)


def _read_light(number: int, file: RolloutFile) -> pa.Table:
    try:
        with pq.ParquetFile(file.path) as opened:
            have = [name for name in LIGHT.names if name in opened.schema_arrow.names]
            is_known = set(have) >= NEEDED
            table = opened.read(columns=have, use_threads=False) if is_known else LIGHT.empty_table()
    except (OSError, pa.ArrowInvalid):
        table = LIGHT.empty_table()
    length = len(table)
    columns = [
        table[each.name].cast(each.type) if each.name in table.column_names else pa.nulls(length, each.type)
        for each in LIGHT
    ]
    place = {"part": file.part, "kind": file.kind, "file": number}
    constants = [pa.array([place[name]] * length, kind) for name, kind in PLACE[:-1]]
    rows = pa.array(np.arange(length, dtype=np.int32))
    return pa.table([*columns, *constants, rows], schema=pa.schema([*LIGHT, *PLACE]))
