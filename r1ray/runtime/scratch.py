"""A command's scratch folder: all that its processes, and the libraries in them, put into TMPDIR is in it.

    driver --begin--> /tmp/r1run-x4k2p9qa  <--enter-- each actor, and what that starts (R1RAY_SCRATCH, TMPDIR)
       `--end, or its watch (:mod:`r1ray.runtime.leftovers`), or the next command's begin--> cleared

Sockets of Ray and vLLM are in it, and names of shared memory and semaphores begin with its name. On a node without the
driver the first actor makes it, and the next command that comes there clears it.
"""

from __future__ import annotations

import fcntl
import getpass
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import shared_memory
from pathlib import Path
from typing import IO, Any

from r1ray.runtime import leftovers
from r1ray.runtime.leftovers import DONE, VARIABLE, clear

PREFIX = "r1run-"
OWNER, USED = "owner", "used"
"""Locked for as long as the driver lives; of a folder without a driver, for as long as one of its actors does."""
LONGEST_SOCKET = 107
LONGEST_NAME = {True: 82, False: 52}
"""Lengths of a socket's path below TMPDIR: with an own cluster (``session_.../sockets/plasma_store``), and without."""


class Scratch:
    """The scratch folder of this command."""

    def __init__(self, *, has_own_cluster: bool) -> None:
        """Make the folder, and start its watch. Raises OSError."""
        sweep()
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=_base(LONGEST_NAME[has_own_cluster])))
        self.folder.chmod(0o711)  # sandboxes run programs as other users in theirs
        self._lock = _locked(self.folder / OWNER, fcntl.LOCK_EX)
        self._watch = subprocess.Popen(
            [sys.executable, "-I", str(Path(leftovers.__file__).resolve()), str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # what ends the command from a terminal does not reach it
        )

    @property
    def environment(self) -> dict[str, str]:
        """Return what processes of this command need in their environment to use the folder. A cache of compiled code
        stays where it was: the next command needs it too."""
        cache = (
            os.environ.get("TORCHINDUCTOR_CACHE_DIR") or f"{tempfile.gettempdir()}/torchinductor_{getpass.getuser()}"
        )
        return {VARIABLE: str(self.folder), "TMPDIR": str(self.folder), "TORCHINDUCTOR_CACHE_DIR": cache}

    @contextmanager
    def inherited(self) -> Iterator[None]:
        """Have processes that are started in the block use the folder, and all that they start."""
        before = {name: os.environ.get(name) for name in self.environment}
        os.environ.update(self.environment)
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})

    def end(self) -> None:
        """Remove everything, once all has been ended that can be."""
        clear(self.folder)
        self._lock.close()
        with suppress(OSError):
            self._watch.communicate(DONE)


def enter() -> None:
    """Use the scratch folder that the environment names, if it names one. A node that cannot have it does without."""
    path = os.environ.get(VARIABLE)
    if path is None:
        return
    folder = Path(path)
    with suppress(OSError):
        if not folder.exists():
            sweep()
            folder.mkdir(exist_ok=True)
        if not (folder / OWNER).exists():
            _held.append(_locked(folder / USED, fcntl.LOCK_SH))
    tempfile.tempdir = None  # it may have been looked up before the folder was there
    _name_shared_memory(folder.name)


def sweep() -> None:
    """Clear the folders of commands that were killed together with their watch."""
    for base in {Path(tempfile.gettempdir()), Path("/tmp")}:
        for folder in base.glob(f"{PREFIX}*"):
            with suppress(OSError):  # it is in use, or somebody else's
                lock = folder / OWNER if (folder / OWNER).exists() else folder / USED
                if lock.exists():
                    _locked(lock, fcntl.LOCK_EX).close()
                    clear(folder)


_held: list[IO[bytes]] = []


def _base(longest_name: int) -> str:
    """Return a folder for temporary files in which sockets may have their names."""
    base = tempfile.gettempdir()
    return base if len(base) + longest_name <= LONGEST_SOCKET else "/tmp"


def _locked(path: Path, kind: int) -> IO[bytes]:
    """Return a file that is locked for as long as it is open. Raises BlockingIOError where it is locked already."""
    file = path.open("ab")
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise
    return file


def _name_shared_memory(name: str) -> None:
    """Have semaphores and shared memory of this process, and of those that it starts, named after the folder. Python
    has no other way to choose these names."""
    config: dict[str, Any] = vars(multiprocessing.current_process())["_config"]
    config["semprefix"] = f"/{name}-mp"
    prefix = f"/{name}-"
    vars(shared_memory).update(_SHM_NAME_PREFIX=prefix, _SHM_SAFE_NAME_LENGTH=len(prefix) + 8)
