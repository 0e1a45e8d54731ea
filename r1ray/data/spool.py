"""The user's files, read row by row, and what is made of them, kept in a memory-mapped Arrow file.

    Parquet | JSON lines --rows_of--> rows --(checked, written by others)--> x.arrow --SpooledRows--> row i

Files are local, or on s3:// or gs://. A spool gives any row in constant time without holding the file in memory.
"""

from __future__ import annotations

import io
import itertools
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from r1ray.data.checks import MalformedRow
from r1ray.data.json_text import parse
from r1ray.errors import UserError
from r1ray.runtime.user_paths import file_of

BATCH_ROWS = 4096
MAX_ERRORS_SHOWN = 3
NEEDS = "a Parquet (.parquet) or JSON lines (.jsonl) file"
PARQUET = b"PAR1"
"""First bytes of a Parquet file."""


def _open(path: str, key: str) -> tuple[pafs.FileSystem, str]:
    """The file system of ``path`` and the path inside it. Raises UserError where there is no such file."""
    if "://" not in path:
        return pafs.LocalFileSystem(), str(file_of(path, key=key, needs=NEEDS))
    try:
        filesystem, inner = pafs.FileSystem.from_uri(path)
        info = filesystem.get_file_info(inner)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise UserError(f"{key}={path}: cannot be opened: {error}.") from error
    if info.type != pafs.FileType.File:
        raise UserError(f"{key}={path}: no such file; needs {NEEDS}.")
    return filesystem, inner


def _parquet_rows(filesystem: pafs.FileSystem, inner: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with filesystem.open_input_file(inner) as source:
        file = pq.ParquetFile(source)
        names = file.schema_arrow.names
        if len(set(names)) < len(names):
            raise MalformedRow(f"two columns have one name, of {', '.join(names)}")
        batches = file.iter_batches(batch_size=BATCH_ROWS)
        yield from enumerate((row for batch in batches for row in batch.to_pylist()), start=1)


def _json_rows(filesystem: pafs.FileSystem, inner: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    # Not pyarrow.json: its schema inference refuses columns of mixed types, and its errors name no line.
    with filesystem.open_input_stream(inner) as source:
        for number, line in enumerate(io.BufferedReader(source), start=1):
            if not line.strip():
                continue
            if number == 1 and line.startswith(PARQUET):
                raise MalformedRow("it is a Parquet file; needs a name that ends in .parquet")
            try:
                row = parse(line)
            except ValueError as error:
                raise MalformedRow(f"line {number}: not JSON: {error}") from error
            if not isinstance(row, dict):
                raise MalformedRow(f"line {number}: needs a JSON object, found {line.decode(errors='replace')[:60]!r}")
            yield number, row


def rows_of(path: str, *, key: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Every row with its number, from 1 on (of JSON lines: that of the line).

    Raises:
        UserError: ``path``, the value of ``key``, is no such file or cannot be read.
    """
    filesystem, inner = _open(path, key)
    try:
        yield from (_parquet_rows if inner.endswith(".parquet") else _json_rows)(filesystem, inner)
    except MalformedRow as error:
        raise UserError(f"{key}={path}: {error}.") from error
    except (pa.ArrowException, OSError, OverflowError, ValueError) as error:
        raise UserError(f"{key}={path}: cannot be read: {error}.") from error


class SpooledRows:
    """The rows of an Arrow file by number."""

    def __init__(self, spool: Path) -> None:
        self._reader = pa.ipc.open_file(pa.memory_map(str(spool)))
        counts = [self._reader.get_batch(i).num_rows for i in range(self._reader.num_record_batches)]
        self._ends: list[int] = list(itertools.accumulate(counts))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def row(self, index: int) -> pa.RecordBatch:
        """Row ``index`` by itself, as a view of the file. Raises IndexError where there is none."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        batch = bisect_right(self._ends, index)
        return self._reader.get_batch(batch).slice(index - (self._ends[batch - 1] if batch else 0), 1)
