"""The files of a run folder that are copied, and the folders in it that are whole or not there.

A folder of a checkpoint or of a model is renamed into its place when it is whole, and is a unit: a manifest has all of
its files or none.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from r1ray.runtime.files import ASIDE, REMOVING
from r1ray.runtime.run_files import DATA, LOGS, STAGES

logger = logging.getLogger(__name__)
RECORD = ".mirror.json"
"""File that says which state in the store a folder has, see :mod:`r1ray.mirror.record`."""
UNITS = ("checkpoints", "hf")
LEFT_OUT = (".lock", "mirror-0.log", RECORD)
"""Names of files that are of one process, among them the one that copies."""
STARTS = (ASIDE, REMOVING, ".making-")
GROWING = (".jsonl", ".log")
"""Ends of names of files that are appended to, line by line."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file as it is now."""

    num_bytes: int
    mtime_ns: int
    inode: int
    unit: str
    """Path of the unit that it is in; empty for none."""
    unit_inode: int = 0

    @property
    def state(self) -> tuple[int, int]:
        """Return what changes with the content."""
        return self.num_bytes, self.mtime_ns


def scan(folder: Path, *, with_units: bool = True, with_others: bool = True) -> dict[str, Found]:
    """Return the files of a run folder that are copied, by their path in it. What vanishes meanwhile is left out."""
    return {path: found for path, found in _below(folder, "", "", 0) if (with_units if found.unit else with_others)}


def is_there(folder: Path, path: str, found: Found) -> bool:
    """Tell if a file is there still, and is in the same unit as when it was found."""
    try:
        if found.unit and os.stat(folder / found.unit).st_ino != found.unit_inode:
            return False
        os.lstat(folder / path)
    except OSError:
        return False
    return True


def is_in_unit(path: str) -> bool:
    """Tell if a path of a file is in a unit."""
    return any(name in UNITS for name in path.split("/")[:-2])


def was_pruned(folder: Path, unit: str) -> bool:
    """Tell if a unit has been removed as an old one is: it is not there, and a newer one is."""
    above, _, name = unit.rpartition("/")
    if not name.isdigit() or (folder / unit).exists():
        return False
    with suppress(OSError):
        return any(other.isdigit() and int(other) > int(name) for other in os.listdir(folder / above))
    return False


@cache
def say_left_out(path: str, why: str) -> None:
    """Warn of a file or folder that cannot be read and so is not copied, once."""
    logger.warning(f"{path}: cannot be read, and is not copied: {why}")


def grows(path: str) -> bool:
    """Tell if a file is only ever appended to, unless another takes its name."""
    return path.endswith(GROWING)


def num_bytes(files: Mapping[str, Found]) -> int:
    """Return the size of files together."""
    return sum(found.num_bytes for found in files.values())


def _below(root: Path, inside: str, unit: str, unit_inode: int) -> Iterator[tuple[str, Found]]:
    with suppress(FileNotFoundError, NotADirectoryError):
        try:
            entries = list(os.scandir(root / inside))
        except PermissionError as error:
            say_left_out(str(root / inside), str(error.strerror))
            return
        for entry in entries:
            path = f"{inside}/{entry.name}" if inside else entry.name
            if _is_left_out(path):
                continue
            with suppress(FileNotFoundError):
                if entry.is_dir(follow_symlinks=False):
                    starts = not unit and Path(inside).name in UNITS
                    inode = entry.stat(follow_symlinks=False).st_ino if starts else unit_inode
                    yield from _below(root, path, path if starts else unit, inode)
                elif entry.is_file(follow_symlinks=False):
                    now = entry.stat(follow_symlinks=False)
                    yield path, Found(now.st_size, now.st_mtime_ns, now.st_ino, unit, unit_inode)


def _is_left_out(path: str) -> bool:
    """Tell if a path is of no use on another machine: rows as they were read, which are read anew, the state of
    processes, and what is being written or removed."""
    *above, name = path.split("/")
    if name in LEFT_OUT or name.startswith(STARTS):
        return True
    own = above[2:] if above[:1] == [STAGES] else above
    return (own == [] and name == DATA) or (own == [LOGS] and name.endswith(".json"))
