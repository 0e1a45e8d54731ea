"""Rows of a user's copy of a published set: one file, or a folder of them (a file for each subject, or each split).

Parquet, JSON lines, one JSON list, CSV and TSV, as sets are published. Two columns are added: ``_subject``, what the
file is about as far as its name or folder says, and ``_row``, where the row stands, for messages.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from r1ray.data.json_text import parse
from r1ray.errors import UserError
from r1ray.runtime.user_paths import file_of, path_of

BATCH_ROWS = 256
_SPLIT_NAME = re.compile(r"(?:test|val|validation|dev|train|data)(?:[-_].*)?")
_SPLIT_ENDING = re.compile(r"_(?:test|val|validation|dev|train)$")


def rows_of(path: Path, *, key: str = "data") -> Iterator[dict[str, Any]]:
    """Yield every row. Raises UserError for what is no such file, or cannot be read.

    Args:
        key: of the configuration, that holds ``path``.
    """
    for file in _files(path, key):
        subject = _subject(file)
        try:
            for number, row in enumerate(_READERS[file.suffix](file), start=1):
                if not isinstance(row, dict):
                    raise UserError(f"{key}={file}: row {number} needs an object, found {str(row)[:60]!r}.")
                yield {"_subject": subject, "_row": f"{file.name}:{number}", **row}
        except (pa.ArrowException, OSError, OverflowError, ValueError, csv.Error) as error:
            raise UserError(f"{key}={file}: cannot be read: {error}.") from error


def _files(path: Path, key: str) -> list[Path]:
    endings, path = ", ".join(_READERS), path_of(str(path), key=key)
    if not path.is_dir():
        file = file_of(str(path), key=key, needs=f"a file, or a folder of files, that end in one of {endings}")
        if file.suffix not in _READERS:
            raise UserError(f"{key}={path}: needs a file that ends in one of {endings}.")
        return [file]
    found = sorted(file for file in path.rglob("*") if file.suffix in _READERS and file.is_file())
    if not found:
        raise UserError(f"{key}={path}: the folder has no file that ends in one of {endings}.")
    return found


def _subject(file: Path) -> str:
    """``accountant`` of ``accountant/val-00000.parquet`` and of ``val/accountant_val.csv``."""
    return file.parent.name if _SPLIT_NAME.fullmatch(file.stem) else _SPLIT_ENDING.sub("", file.stem)


def _parquet(file: Path) -> Iterator[Any]:
    for batch in pq.ParquetFile(file).iter_batches(batch_size=BATCH_ROWS):
        yield from batch.to_pylist()


def _json_lines(file: Path) -> Iterator[Any]:
    with file.open("rb") as lines:
        yield from (parse(line) for line in lines if line.strip())


def _json(file: Path) -> Iterator[Any]:
    content = parse(file.read_bytes())
    yield from content if isinstance(content, list) else [content]


def _separated(delimiter: str) -> Callable[[Path], Iterator[Any]]:
    def read(file: Path) -> Iterator[Any]:
        csv.field_size_limit(sys.maxsize)  # a cell may hold a whole document
        with file.open(encoding="utf-8-sig", newline="") as lines:
            yield from csv.DictReader(lines, delimiter=delimiter)

    return read


_READERS: dict[str, Callable[[Path], Iterator[Any]]] = {
    ".parquet": _parquet,
    ".jsonl": _json_lines,
    ".json": _json,
    ".csv": _separated(","),
    ".tsv": _separated("\t"),
}
