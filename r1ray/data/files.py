"""The user's files that a configuration value names.

    file | folder | glob | s3://... | gs://... | hf://ORG/NAME:CONFIG/SPLIT, or a list --find_files--> DataFile ...

From a folder, all files whose names have the ending of a known format are taken. They have to be of one format and of
one split, so that a test set beside a training set is never trained on by accident.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.fs as pafs

from r1ray.config.sources import Source, texts_of
from r1ray.data import hub
from r1ray.data.splits import matches, split_of
from r1ray.errors import UserError
from r1ray.runtime.user_paths import file_of, path_of, shown

FORMATS = {
    ".parquet": "parquet",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
}
"""Format of a file by the ending of its name. A file with another name is read as JSON."""
CODECS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2", ".lz4": "lz4"}
"""Compression of a file by the second ending of its name."""
NEEDS = "a Parquet, JSON lines, JSON or CSV file, or a folder of these"
WILD = "*?["


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file to read rows from."""

    filesystem: pafs.FileSystem
    path: str
    """Path in the file system."""
    name: str
    """Name of the file in messages."""
    size: int
    """Unit: bytes."""
    changed: int
    """Time of its last change; 0 for files of a hub, whose path contains the commit. Unit: nanoseconds since 1970."""

    @property
    def codec(self) -> str | None:
        """Return the codec that decompresses it; None if it is not compressed."""
        return CODECS.get(PurePosixPath(self.path).suffix)

    @property
    def format(self) -> str:
        """Return the format in which it is read, by its name."""
        return format_of(self.path) or "json"


def format_of(path: str) -> str | None:
    """Return the format that the ending of a name stands for; None for an unknown one."""
    name = PurePosixPath(path)
    return FORMATS.get((name.with_suffix("") if name.suffix in CODECS else name).suffix)


def find_files(source: Source, *, key: str, of_one_split: bool = True) -> list[DataFile]:
    """Return every file of a source in the order of its texts; those of a folder or glob in the order of their names.

    Files of ``hf://`` are downloaded into the cache of the hub's own library.

    Args:
        of_one_split: refuse a glob that matches files of several splits and does not name one of them.

    Raises:
        UserError: a text names no existing file, or files of several formats or splits; or a file occurs twice.
    """
    found = []
    for text in texts_of(source):
        files = _found(text, key)
        if of_one_split and not text.startswith("hf://"):
            _check_glob(text, [file.name for file in files], key)
        found += files
    seen: set[str] = set()
    for file in found:
        if file.path in seen:
            raise UserError(f"{key}: the file {file.name} is there twice; needs each file once.")
        seen.add(file.path)
    return found


def states_of(source: Source) -> dict[str, list[int]]:
    """Return numbers that identify the version of each file without reading it: size and time of change of a local
    file; the path of a hub's files contains the commit. Empty for object stores and for files that cannot be found."""
    states: dict[str, list[int]] = {}
    for text in texts_of(source):
        if "://" in text and not text.startswith("hf://"):
            continue
        try:
            files = _found(text, "")
        except UserError:  # the reader of the file reports the error
            continue
        states |= {file.path: [file.size, file.changed] for file in files}
    return states


def _found(text: str, key: str) -> list[DataFile]:
    if text.startswith("hf://"):
        repo, paths = hub.local_files(text, key=key, format_of=format_of)
        return [replace(local_file(path), name=f"hf://{repo}/{name}", changed=0) for name, path in paths.items()]
    return _remote_files(text, key) if "://" in text else _local_files(text, key)


# ---------------------------------------------------------------------- on this machine


def _local_files(text: str, key: str) -> list[DataFile]:
    path = Path(os.path.abspath(Path(text).expanduser())) if path_of(text, key=key).exists() else None
    if path is not None and path.is_dir():
        inside = [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names]
        files = [name for name in inside if os.path.isfile(name) and _is_data(os.path.relpath(name, path))]
        return [local_file(name) for name in _of_one_kind(files, shown(text, key=key), str(path))]
    if path is None and any(sign in text for sign in WILD):
        files = [name for name in glob.glob(os.path.expanduser(text), recursive=True) if os.path.isfile(name)]
        if not files:
            raise UserError(f"{shown(text, key=key)}: no file matches; needs the glob of some.")
        return [local_file(os.path.abspath(name)) for name in sorted(files)]
    file_of(text, key=key, needs=NEEDS)
    return [local_file(str(path), name=text)]


def local_file(path: str, *, name: str | None = None) -> DataFile:
    """Return an existing file of this machine."""
    found = os.stat(path)
    return DataFile(pafs.LocalFileSystem(), path, name or path, found.st_size, found.st_mtime_ns)


def _is_data(path: str) -> bool:
    """Return whether a file of a folder holds rows. ``_SUCCESS`` and hidden files do not."""
    return format_of(path) is not None and not any(part.startswith((".", "_")) for part in PurePosixPath(path).parts)


def _of_one_kind(files: Sequence[str], named: str, root: str) -> list[str]:
    """Return the files of a folder in order. Raises UserError if there are none or if they are not one table."""
    if not files:
        raise UserError(f"{named}: the folder has no file that ends in one of {', '.join(FORMATS)}.")
    for what, kinds in (
        ("formats", {str(format_of(file)) for file in files}),
        ("splits", {split for file in files if (split := split_of(file[len(root) :])) is not None}),
    ):
        if len(kinds) > 1:
            raise UserError(
                f"{named}: the folder has files of several {what} ({', '.join(sorted(kinds))}); needs a glob of those "
                f"that are meant, such as {root}/*NAME*."
            )
    return sorted(files)


def _check_glob(text: str, names: Sequence[str], key: str) -> None:
    """Raise UserError if a glob matches files of several splits and names none."""
    is_address = "://" in text
    address, signs = (text.partition("?")[0], "*[") if is_address else (text, WILD)
    wild = next((number for number, sign in enumerate(address) if sign in signs), len(address))
    start = address[:wild].rpartition("/")[0]
    root = start if is_address else os.path.abspath(os.path.expanduser(start))
    splits = {split for name in names if (split := split_of(name[len(root) :])) is not None}
    if len(splits) > 1 and split_of(address[len(start) :]) is None:
        raise UserError(
            f"{shown(text, key=key)}: the glob matches files of several splits ({', '.join(sorted(splits))}); needs "
            f"one that names the split that is meant, such as {root}/*{sorted(splits)[-1]}*, or a list of the files."
        )


# ---------------------------------------------------------------------- in an object store


def _remote_files(text: str, key: str) -> list[DataFile]:
    address, _, options = text.partition("?")  # options of the file system, such as ?region=eu-west-1
    wild = next((number for number, sign in enumerate(address) if sign in "*["), None)
    start = address if wild is None else address[:wild].rpartition("/")[0]
    try:
        filesystem, inner = pafs.FileSystem.from_uri(f"{start}?{options}" if options else start)
        infos = _infos(filesystem, inner, address[len(start) :], shown(text, key=key))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise UserError(f"{shown(text, key=key)}: cannot be opened: {error}.") from error
    scheme = text.partition("://")[0]
    return [
        DataFile(filesystem, info.path, f"{scheme}://{info.path}", info.size or 0, info.mtime_ns or 0) for info in infos
    ]


def _infos(filesystem: pafs.FileSystem, inner: str, wild: str, named: str) -> list[pafs.FileInfo]:
    """Return the files that a path and the wildcards after it name. Raises UserError if there are none."""
    info = filesystem.get_file_info(inner)
    if wild:
        found = [each for each in _listed(filesystem, inner) if matches(each.path, f"{inner}{wild}")]
        if not found:
            raise UserError(f"{named}: no file matches; needs the glob of some.")
        return sorted(found, key=lambda each: str(each.path))
    if info.type == pafs.FileType.Directory:
        by_path = {each.path: each for each in _listed(filesystem, inner) if _is_data(each.path[len(inner) + 1 :])}
        return [by_path[path] for path in _of_one_kind(list(by_path), named, inner)]
    if info.type != pafs.FileType.File:
        raise UserError(f"{named}: no such file; needs {NEEDS}.")
    return [info]


def _listed(filesystem: pafs.FileSystem, folder: str) -> Iterable[pafs.FileInfo]:
    inside = filesystem.get_file_info(pafs.FileSelector(folder, recursive=True))
    return [info for info in inside if info.type == pafs.FileType.File]
