"""Rows of a user's copy of a published set: one file, or a folder of them (a file for each subject, or each split).

Files are those of :mod:`r1ray.data.files`, but a folder may have several formats and splits. Three columns are added:
``_subject``, the file's subject if its name or folder tells it, ``_file``, its path, and ``_row``, the place of the
row, ``a.csv:3``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from r1ray.config.sources import Source, texts_of
from r1ray.data.bad_rows import BadRows
from r1ray.data.files import CODECS, FORMATS, DataFile, find_files, format_of, local_file
from r1ray.data.formats import Reader, Unread
from r1ray.errors import UserError
from r1ray.runtime.user_paths import path_of

_SPLIT_NAME = re.compile(r"(?:test|val|validation|dev|train|data)(?:[-_].*)?")
_SPLIT_ENDING = re.compile(r"_(?:test|val|validation|dev|train)$")


def rows_of(source: Source, *, key: str = "data", bad: BadRows | None = None) -> Iterator[dict[str, Any]]:
    """Yield every row that can be read. Raises UserError for a source that is no such file, or cannot be read.

    Args:
        key: configuration key that holds ``source``.
        bad: records rows that cannot be read; None: the first one raises.
    """
    for file in benchmark_files(source, key=key):
        path = Path(file.path)
        subject, named = _subject(path), f"{key}={file.name}"
        for number, row in Reader(file, named=named).rows():
            if not isinstance(row, Unread):
                yield {"_subject": subject, "_file": file.path, "_row": f"{path.name}:{number}", **row}
            elif bad is None:
                raise UserError(f"{named}: cannot be read: {row.place}: {row.reason}.")
            else:
                bad.note(f"{path.name}:{number}", row.reason)


def benchmark_files(source: Source, *, key: str) -> list[DataFile]:
    """Return the files of a source; of a folder, all files of a known format. Raises UserError if there are none."""
    return [file for text in texts_of(source) for file in _files(text, key)]


def _files(text: str, key: str) -> list[DataFile]:
    endings = ", ".join(FORMATS)
    folder = path_of(text, key=key) if "://" not in text else None
    if folder is None or not folder.is_dir():
        found = find_files(text, key=key, of_one_split=False)
        unknown = next((file.name for file in found if format_of(file.path) is None), None)
        if unknown is not None:
            raise UserError(f"{key}={unknown}: needs a file that ends in one of {endings}.")
        return found
    inside = sorted(file for file in folder.rglob("*") if format_of(str(file)) is not None and file.is_file())
    if not inside:
        raise UserError(f"{key}={text}: the folder has no file that ends in one of {endings}.")
    return [local_file(str(file)) for file in inside]


def _subject(path: Path) -> str:
    """Return the subject in a path: ``accountant`` of ``accountant/val-00000.parquet`` and of
    ``val/accountant_val.csv``."""
    file = path.with_suffix("") if path.suffix in CODECS else path
    return file.parent.name if _SPLIT_NAME.fullmatch(file.stem) else _SPLIT_ENDING.sub("", file.stem)
