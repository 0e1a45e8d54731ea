"""Addresses in object stores, and the folder of this machine that stands for each."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from r1ray.errors import UserError
from r1ray.runtime.disk import why_not
from r1ray.runtime.user_paths import path_of

IN_MEMORY = ("tmpfs", "ramfs")
"""File systems that take memory, and that a container's limit of memory counts."""
LEAST_BYTES = 1 << 30
"""Free on the disk of a run that begins: below it not even logs and rollouts have room for long."""


def default_scratch() -> Path:
    """Return the folder of ``cluster.scratch_dir=null``. In a container the user may have a number and no name."""
    return Path(tempfile.gettempdir()) / f"r1ray-runs-{os.getuid()}"


def local_folder(address: str, scratch_dir: str | None) -> Path:
    """Return the folder of this machine that stands for an address.

    >>> local_folder("s3://bucket/team/runs", "/scratch").as_posix()
    '/scratch/s3/bucket/team/runs'
    """
    scratch = default_scratch() if scratch_dir is None else path_of(scratch_dir, key="cluster.scratch_dir")
    scheme, _, rest = address.partition("://")
    return scratch.joinpath(scheme, *rest.strip("/").split("/"))


def require_disk(folder: Path, address: str) -> None:
    """Raise UserError where a run cannot be kept in a folder until its files are in an object store: it cannot be
    written, is in memory, or has little room."""
    named = f"output_dir={address} is copied from {folder}"
    needed = "needs cluster.scratch_dir=PATH of a folder on a disk of this node"
    fault = why_not(folder, needs=LEAST_BYTES)
    if fault is not None:
        raise UserError(f"{named}, which cannot hold a run: {fault.strerror or fault}; {needed}.")
    if (kind := _file_system_of(folder)) in IN_MEMORY:
        raise UserError(f"{named}, which is in memory ({kind}); {needed}.")


def _file_system_of(folder: Path) -> str:
    """Return the type of the file system that a folder is in; empty if the kernel does not say."""
    try:
        lines = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return ""
    mounts = [(point.replace("\\040", " "), kind) for _, point, kind, *_ in map(str.split, lines)]
    above = [(Path(point), kind) for point, kind in mounts if folder.is_relative_to(point)]
    # Of two at one place the later one hides the other.
    return max(enumerate(above), key=lambda each: (len(each[1][0].parts), each[0]), default=(0, (folder, "")))[1][1]
