"""Reader of one file, row by row: Parquet, JSON lines, a JSON array, CSV, TSV; compressed or not.

    DataFile --Reader--> number and row, or why that row cannot be read

An error in one row leaves the others readable. An error of the file raises.
"""

from __future__ import annotations

import csv
import io
import itertools
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from r1ray.data.files import DataFile
from r1ray.data.json_text import ArrayItems, parse
from r1ray.errors import UserError

BATCH_ROWS = 4096
BUFFER = 2**20
"""Bytes that are read at a time. An object store needs a request for each read."""
MAX_OBJECT = 2**26
"""Most bytes of a file that is a single object on several lines."""
PARQUET = b"PAR1"
"""First bytes of a Parquet file."""


@dataclass(frozen=True, slots=True)
class Unread:
    """A row that cannot be read."""

    place: str
    """Place of the row, such as ``line 3``."""
    reason: str


Numbered: TypeAlias = tuple[int, Mapping[str, Any] | Unread]
"""A row and its number, from 1 on; for JSON lines the number of the line."""


class Reader:
    """The rows of one file, with the share that has been read."""

    def __init__(self, file: DataFile, *, named: str) -> None:
        """
        Args:
            named: name of the file in messages, ``data.train=PATH``.
        """
        self._file, self._named = file, named
        self._source: pa.NativeFile | None = None
        self._read_share = 0.0

    @property
    def share_read(self) -> float:
        """Return the share of the file that has been read, 0 to 1."""
        if self._source is not None and not self._source.closed and self._file.format != "parquet":
            return min(1.0, float(self._source.tell()) / max(1, self._file.size))
        return self._read_share

    def rows(self) -> Iterator[Numbered]:
        """Yield every row. Raises UserError if the file cannot be read."""
        read = {"parquet": self._parquet, "json": self._json, "csv": self._separated, "tsv": self._separated}
        try:
            with self._file.filesystem.open_input_file(self._file.path) as self._source:
                yield from read[self._file.format]()
        except (pa.ArrowException, OSError, OverflowError, ValueError) as error:
            raise UserError(f"{self._named}: cannot be read: {_flat(error)}.") from error
        self._read_share = 1.0

    def _parquet(self) -> Iterator[Numbered]:
        if self._file.codec is not None:
            raise ValueError("it is a Parquet file in another compression; needs it unpacked")
        file = pq.ParquetFile(self._source)
        names = file.schema_arrow.names
        if len(set(names)) < len(names):
            raise ValueError(f"two columns have one name, of {', '.join(names)}")
        number = 0
        for batch in file.iter_batches(batch_size=BATCH_ROWS):
            self._read_share = number / max(1, file.metadata.num_rows)
            for row in batch.to_pylist():
                number += 1
                yield number, row

    def _bytes(self) -> io.BufferedReader:
        codec = self._file.codec
        return io.BufferedReader(
            self._source if codec is None else pa.CompressedInputStream(self._source, codec),  # type: ignore[arg-type]
            BUFFER,
        )

    def _json(self) -> Iterator[Numbered]:
        source = self._bytes()
        start = source.peek(64)
        if start.startswith(PARQUET):
            raise ValueError("it is a Parquet file; needs a name that ends in .parquet")
        if start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"[":
            yield from self._array(source)
        else:
            yield from self._lines(source)

    def _lines(self, source: io.BufferedReader) -> Iterator[Numbered]:
        # pyarrow.json is not used: its schema inference refuses columns of mixed types, and its errors name no line.
        lines: Iterator[bytes] = source
        first = next(lines, b"")
        row = _object(first, "line 1")
        if isinstance(row, Unread) and first.lstrip()[:1] == b"{":
            rest = source.readlines(MAX_OBJECT)
            whole = _object(first + b"".join(rest), "line 1")
            if not isinstance(whole, Unread):  # one object, on several lines
                yield 1, whole
                return
            lines = itertools.chain(rest, source)
        if first.strip():
            yield 1, row
        for number, line in enumerate(lines, start=2):
            if line.strip():
                yield number, _object(line, f"line {number}")

    def _array(self, source: io.BufferedReader) -> Iterator[Numbered]:
        for number, text in ArrayItems(io.TextIOWrapper(source, encoding="utf-8-sig")):
            yield number, _object(text, f"row {number}")

    def _separated(self) -> Iterator[Numbered]:
        csv.field_size_limit(sys.maxsize)  # a cell may hold a whole document
        text = io.TextIOWrapper(self._bytes(), encoding="utf-8-sig", newline="")
        # Strict, because an unclosed quote would turn the rest of the file into one cell.
        cells_of_rows = csv.reader(text, delimiter="\t" if self._file.format == "tsv" else ",", strict=True)
        try:
            yield from _rows_of_cells(cells_of_rows)
        except csv.Error as error:
            raise ValueError(f"line {cells_of_rows.line_num}: {error}") from error


def _rows_of_cells(rows: Iterator[list[str]]) -> Iterator[Numbered]:
    """Yield a row for each list of cells after the header. An empty cell has no value, and an empty line is no row."""
    header = next(rows, [])
    if len(set(header)) < len(header):
        raise ValueError(f"two columns have one name, of {', '.join(header)}")
    number = 0
    for cells in rows:
        if not cells:
            continue
        number += 1
        if len(cells) != len(header):
            yield number, Unread(f"row {number}", f"has {len(cells)} cells, and the header {len(header)}")
        else:
            yield number, {name: cell or None for name, cell in zip(header, cells, strict=True)}


def _object(text: str | bytes, place: str) -> Mapping[str, Any] | Unread:
    try:
        row = parse(text)
    except ValueError as error:
        return Unread(place, f"not JSON: {error}")
    if isinstance(row, dict):
        return row
    shown = text.decode(errors="replace") if isinstance(text, bytes) else text
    return Unread(place, f"needs a JSON object, found {shown[:60]!r}")


def _flat(error: Exception) -> str:
    return " ".join(str(error).split())
