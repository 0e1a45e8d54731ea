"""The object store that a run's folder is copied to, seen from the driver."""

from __future__ import annotations

from pathlib import Path

from r1ray.doctor.findings import DRIVER, Finding
from r1ray.doctor.judging import green, red
from r1ray.errors import UserError
from r1ray.mirror.address import require_disk
from r1ray.mirror.probe import probe
from r1ray.mirror.store import Store, StoreFailed

NAME = "object store"


def check_object_store(address: str, folder: Path) -> list[Finding]:
    """Write a probe object, also under conditions, and remove it; look at the disk that the run works on.

    Args:
        address: of ``output_dir``.
        folder: that stands for it on this machine.
    """
    return [_check_store(address), _check_disk(address, folder)]


def _check_store(address: str) -> Finding:
    needed = "a bucket where objects can be written, also under conditions, read, listed and removed"
    try:
        probe(Store(address))
    except (UserError, StoreFailed) as error:
        advice = "look at output_dir, and at endpoint, region and credentials in the driver's environment."
        return red(NAME, DRIVER, str(error), needed, advice)
    return green(NAME, DRIVER, f"{address}: a probe object was written, read, protected and removed", needed)


def _check_disk(address: str, folder: Path) -> Finding:
    needed = "a folder on a disk, from which files are copied"
    was_there = folder.exists()
    try:
        require_disk(folder, address)
    except UserError as error:
        return red(NAME, DRIVER, str(error), needed, "set cluster.scratch_dir.")
    finally:
        if not was_there and folder.is_dir():
            _remove_empty(folder)
    return green(NAME, DRIVER, f"cluster.scratch_dir: {folder} can hold a run", needed)


def _remove_empty(folder: Path) -> None:
    for each in (folder, *folder.parents):
        try:
            each.rmdir()
        except OSError:
            return
