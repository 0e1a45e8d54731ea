"""Paths that the user gave: one can be no path, a file no file, and a place to write full."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from r1ray.errors import UserError

CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG)
MAX_NAME = 255
"""Bytes of a file's name, on every file system in use."""


def path_of(text: str, *, key: str) -> Path:
    """Return the absolute path that a text names, links followed, whether or not there is anything. Raises UserError
    for a text that can be no path.

    Args:
        key: what messages call it; empty where it is no value of a key.
    """
    try:
        path = Path(text).expanduser().resolve()
        os.fsencode(path)
        os.stat(path)
    except FileNotFoundError:
        return path
    except (OSError, RuntimeError, ValueError) as error:  # a circle of links, an unknown user, a zero byte, too long
        if isinstance(error, NotADirectoryError | PermissionError):
            return path
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{shown(text, key=key)}: can be no path: {reason}.") from error
    return path


def file_of(text: str, *, key: str, needs: str) -> Path:
    """Return the path of a file that is there and can be read: no folder, and no device or pipe, which may never end.
    Raises UserError.

    Args:
        key: as of :func:`path_of`.
        needs: what kind of file, for messages.
    """
    path, named = path_of(text, key=key), shown(text, key=key)
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise UserError(f"{named}: is a folder; needs {needs}.")
        if not stat.S_ISREG(mode):
            raise UserError(f"{named}: is a device or a pipe; needs {needs}.")
        with path.open("rb"):
            pass
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"{named}: no such file; needs {needs}.") from error
    except OSError as error:
        raise UserError(f"{named}: cannot be read: {error.strerror or error}.") from error
    return path


@contextmanager
def writing(named: str) -> Iterator[None]:
    """Raise UserError where the block cannot write: the disk is full, or a folder is read-only.

    Args:
        named: what messages call the place.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in CANNOT_WRITE:
            raise
        raise UserError(f"{named}: cannot be written: {error.strerror or error}.") from error


def shown(text: str, *, key: str) -> str:
    """Return what messages call a path, cut where it is long."""
    cut = text if len(text) <= MAX_NAME * 2 else f"{text[:60]}..."
    return f"{key}={cut}" if key else cut
