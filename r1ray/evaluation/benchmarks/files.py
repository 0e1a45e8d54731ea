"""Rows of a user's copy of a published set: one file, or a folder of them (a file for each subject, or each split).

Parquet, JSON lines, one JSON list, CSV and TSV, as sets are published. Two columns are added: ``_subject``, what the
file is about as far as its name or folder says, and ``_row``, where the row stands, for messages.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from r1ray.errors import UserError

BATCH_ROWS = 256
_SPLIT_NAME = re.compile(r"(?:test|val|validation|dev|train|data)(?:[-_].*)?")
_SPLIT_ENDING = re.compile(r"_(?:test|val|validation|dev|train)$")


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    """Every row. Raises UserError for what is no such file, or cannot be read."""
    for file in _files(path):
        subject = _subject(file)
        try:
            for number, row in enumerate(_READERS[file.suffix](file), start=1):
                if not isinstance(row, dict):
                    raise UserError(f"data={file}: row {number} needs an object, found {str(row)[:60]!r}.")
                yield {"_subject": subject, "_row": f"{file.name}:{number}", **row}
        except (pa.ArrowException, OSError, ValueError, csv.Error) as error:
            raise UserError(f"data={file}: cannot be read: {error}.") from error


def _files(path: Path) -> list[Path]:
    if path.is_file():
        if path.suffix not in _READERS:
            raise UserError(f"data={path}: needs a file that ends in one of {', '.join(_READERS)}.")
        return [path]
    found = sorted(file for file in path.rglob("*") if file.suffix in _READERS) if path.is_dir() else []
    if not found:
        raise UserError(f"data={path}: no such file, nor a folder with any that end in one of {', '.join(_READERS)}.")
    return found


def _subject(file: Path) -> str:
    """``accountant`` of ``accountant/val-00000.parquet`` and of ``val/accountant_val.csv``."""
    return file.parent.name if _SPLIT_NAME.fullmatch(file.stem) else _SPLIT_ENDING.sub("", file.stem)


def _parquet(file: Path) -> Iterator[Any]:
    for batch in pq.ParquetFile(file).iter_batches(batch_size=BATCH_ROWS):
        yield from batch.to_pylist()


def _json_lines(file: Path) -> Iterator[Any]:
    with file.open(encoding="utf-8") as lines:
        yield from (json.loads(line) for line in lines if line.strip())


def _json(file: Path) -> Iterator[Any]:
    content = json.loads(file.read_text(encoding="utf-8"))
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
