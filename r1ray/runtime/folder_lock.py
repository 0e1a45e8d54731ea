"""One process at a time works in a folder.

The lock is the kernel's (flock) on a file in it, and not the file: it ends with the process that holds it, however that
ends, and nothing is left to be removed. It holds between the processes of one machine on every file system that has
flock, and between machines where the file system carries it: NFS (unless mounted with nolock or local_lock), CephFS,
Lustre mounted with flock. It does not on object stores that are mounted as folders.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from r1ray.errors import UserError

logger = logging.getLogger(__name__)

LOCK = ".lock"
POLL_S = 0.5
_TAKEN = (errno.EWOULDBLOCK, errno.EACCES)
_NOT_THERE = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)
"""What file systems without flock say."""


@contextmanager
def locked(folder: Path, *, key: str = "output_dir", wait_s: float = 0.0) -> Iterator[None]:
    """Hold a folder, which is made where it is not there.

    Args:
        key: of the configuration, that leads to the folder.
        wait_s: how long another process is waited for, of a folder that several runs share.

    Raises:
        UserError: another process holds it, or it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Not "w", which would wipe out who holds it; and nothing that closing it would have to write.
        lock = (folder / LOCK).open("ab+", buffering=0)
    except OSError as error:
        raise UserError(f"{key}: {folder} cannot be made or written to: {error}.") from error
    with lock:
        try:
            _acquire(lock, folder, key=key, wait_s=wait_s)
        except OSError as error:
            if error.errno not in _NOT_THERE:
                raise UserError(f"{key}: {folder / LOCK} cannot be locked: {error}.") from error
            logger.warning(f"{folder}: its file system has no locks; see to it that no other process works in it")
        with suppress(OSError):  # a full disk is found elsewhere, and the lock holds without it
            lock.truncate(0)
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            lock.write(f"process {os.getpid()} on {socket.gethostname()}, since {since}".encode())
        yield


def _acquire(lock: BinaryIO, folder: Path, *, key: str, wait_s: float) -> None:
    """Raises UserError where another process holds it for longer than ``wait_s``, OSError where it cannot be locked."""
    deadline, said = time.monotonic() + wait_s, ""
    while _is_held(lock):
        lock.seek(0)
        holder = lock.read().decode(errors="replace").strip() or "it does not say which"
        if time.monotonic() >= deadline:
            waited = f" Waited {wait_s:g} s for it." if wait_s else ""
            raise UserError(
                f"{folder}: another process works there: {holder}. Wait for it or end it, or give this one another "
                f"name or {key}.{waited}"
            )
        if holder != said:
            logger.info(f"{folder}: another process works there: {holder}; waiting for it, at most {wait_s:g} s")
            said = holder
        time.sleep(POLL_S)


def _is_held(lock: BinaryIO) -> bool:
    """Whether another process holds it; where none does, this one now does."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _TAKEN:
            return True
        raise
    return False
