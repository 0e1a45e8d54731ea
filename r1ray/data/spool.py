"""The user's files, read row by row, and spools of their processed rows in memory-mapped Arrow files.

    files --read_rows--> rows --(checked, written by others)--> x.arrow --SpooledRows--> row i

A spool returns any row in constant time without holding the files in memory.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from r1ray.config.sources import Source
from r1ray.data.bad_rows import BadRows
from r1ray.data.files import find_files
from r1ray.data.formats import Reader, Unread
from r1ray.data.reading_progress import ReadingProgress
from r1ray.errors import UserError
from r1ray.runtime.user_paths import shown


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a source of one or several files."""

    file: str
    """Path of its file."""
    within: str
    """Prefix of its place in messages if there are several files: ``b.jsonl `` before ``row 3``."""
    number: int
    """Its number in the file, from 1 on; for JSON lines the number of the line."""
    index: int
    """Its index among the rows of all files, from 0 on. Lines without a row are counted as well."""
    values: Mapping[str, Any]

    @property
    def place(self) -> str:
        """Return the place of the row for messages: ``row 3``."""
        return f"{self.within}row {self.number}"


def named(source: Source, *, key: str) -> str:
    """Return the name of a source in messages: ``data.train=a.jsonl``."""
    return shown(source if isinstance(source, str) else f"[{', '.join(source)}]", key=key)


def read_rows(source: Source, *, key: str, bad: BadRows) -> Iterator[Row]:
    """Yield every readable row of a source, file by file. The others are noted in ``bad``.

    Raises:
        UserError: ``source``, the value of ``key``, names no such file, or one that cannot be read.
    """
    files = find_files(source, key=key)
    begin = 0
    with ReadingProgress(key, sizes=[file.size for file in files]) as progress:
        for file in files:
            reader, number = Reader(file, named=shown(file.name, key=key)), 0
            within = f"{file.name} " if len(files) > 1 else ""
            for number, row in reader.rows():
                progress.note(reader)
                if isinstance(row, Unread):
                    bad.note(f"{within}{row.place}", row.reason)
                else:
                    yield Row(file.path, within, number, begin + number - 1, row)
            begin += number
            progress.end_file()


def rows_of(source: Source, *, key: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield every row with its number in its file, from 1 on; for JSON lines the number of the line.

    Raises:
        UserError: ``source``, the value of ``key``, names no such file, or one with a row that cannot be read.
    """
    bad = BadRows(named(source, key=key), on_bad_row="refuse")
    for row in read_rows(source, key=key, bad=bad):
        if bad.count:
            break
        yield row.index + 1, row.values
    if bad.count:
        raise UserError(f"{named(source, key=key)}: {bad.first[0]}.")


class SpooledRows:
    """The rows of an Arrow file by number."""

    def __init__(self, spool: Path) -> None:
        self._reader = pa.ipc.open_file(pa.memory_map(str(spool)))
        counts = [self._reader.get_batch(i).num_rows for i in range(self._reader.num_record_batches)]
        self._ends: list[int] = list(itertools.accumulate(counts))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def row(self, index: int) -> pa.RecordBatch:
        """Return row ``index`` as a view of the file. Raises IndexError if there is none."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        batch = bisect_right(self._ends, index)
        return self._reader.get_batch(batch).slice(index - (self._ends[batch - 1] if batch else 0), 1)
