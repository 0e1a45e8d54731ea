"""Room in a folder, found by writing, since a quota or a full disk shows nowhere else."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

POLL_S = 1.0
PROBE = b"\0" * (1 << 16)
UNTIL_FREED = (errno.ENOSPC, errno.EDQUOT)
"""Errors that end when somebody removes files."""


def why_not(folder: Path, *, needs: int = 0) -> OSError | None:
    """Return what keeps a file from being written in a folder, which is made where it is not there; None where nothing
    does.

    Args:
        needs: bytes that have to be free.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(PROBE)
            file.flush()
            os.fsync(file.fileno())
            free = shutil.disk_usage(folder).free
    except OSError as error:
        return error
    if free < needs:
        return OSError(errno.ENOSPC, f"{free} bytes are free, needs {needs}")
    return None


def written_with_room(folder: Path, attempt: Callable[[], object]) -> None:
    """Call what writes in a folder; again and again while that fails for want of room. For who has a deadline that
    somebody else keeps."""
    while True:
        try:
            attempt()
            return
        except Exception:
            fault = why_not(folder)
            if fault is None or fault.errno not in UNTIL_FREED:
                raise
            time.sleep(POLL_S)
