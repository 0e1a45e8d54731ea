"""The home of a sandbox: the folder that its slots share, their users, the interpreter and the kind of isolation."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import itertools
import os
import secrets
import shutil
import sys
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from r1ray.errors import SandboxUnavailable
from r1ray.sandbox import languages
from r1ray.sandbox.inside.command_child import remove_tree
from r1ray.sandbox.packages import find_packages, stage_packages
from r1ray.sandbox.slot import Mode, SlotSettings, landlock_abi, stage_library

UNSAFE = "r1ray: UNSAFE: sandbox.mode=none: programs that a model writes run here without any isolation."
UID_BASE, LAST_UID, USERS_OF_A_PROCESS = 200_000, 1 << 31, 256
PREFIX, OWNER = "r1ray-sandbox-", "owner"


class Home:
    """The folder of one sandbox and the settings of its slots. The folder is removed at :meth:`close`, or with this
    object."""

    def __init__(
        self,
        *,
        num_users: int,
        mode: str,
        python: str | None = None,
        max_landlock_abi: int = 99,
        packages: tuple[str, ...] = (),
        imports: tuple[str, ...] = (),
        allowed: Sequence[str] = (),
        sessions: bool = False,
    ) -> None:
        """See :class:`r1ray.sandbox.pool.Sandbox`.

        Args:
            num_users: number of slots. Each has a user of its own if this process is root.
            sessions: the slots hold sessions.

        Raises:
            SandboxUnavailable: no isolation or no interpreter is available.
            UserError: a package of ``allowed`` is not installed.
        """
        found = find_packages(allowed)
        chosen, interpreter = choose_mode(mode), python or find_python(of_this_version=bool(allowed))
        sweep()
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        self.folder.chmod(0o711)
        self._owner = claim(self.folder / OWNER)
        self._cleanup = weakref.finalize(self, remove_tree, str(self.folder))
        library, scratch = self.folder / "library", self.folder / "scratch"
        library.mkdir()
        scratch.mkdir(mode=0o711)
        stage_library(library)
        if allowed:
            staged = self.folder / "packages"
            staged.mkdir()
            stage_packages(found, staged)
            packages, imports = (*packages, str(staged)), (*imports, *found.modules)
        self.settings = SlotSettings(
            mode=chosen,
            may_mount_proc=may_mount_proc(chosen),
            python=interpreter,
            library=str(library),
            scratch=str(scratch),
            uid_base=own_users(num_users) if os.geteuid() == 0 and chosen != "none" else None,
            max_landlock_abi=max_landlock_abi,
            packages=packages,
            imports=imports,
            sessions=sessions,
        )

    def close(self) -> None:
        """Remove the folder. Idempotent."""
        self._cleanup()
        self._owner.close()


def claim(path: Path) -> IO[bytes]:
    """Open a file and lock it until it is closed. Raises BlockingIOError if another process holds the lock."""
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise
    return file


def sweep() -> None:
    """Remove the folders of sandboxes whose process was killed before it could clean up."""
    for owner in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{OWNER}"):
        with contextlib.suppress(OSError), claim(owner):
            remove_tree(str(owner.parent))


_users = itertools.count()


def own_users(num_slots: int) -> int:
    """Return the first of ``num_slots`` user numbers that no other sandbox of this machine has. The kernel keeps limits
    on processes for each user."""
    first = next(_users)
    for _ in range(num_slots - 1):
        next(_users)
    return users_of_process(os.getpid()).start + first % USERS_OF_A_PROCESS


@functools.cache
def users_of_process(pid: int) -> range:
    """Return the user numbers of this process, ``pid``. They are drawn at random, because containers have the same
    process numbers and the kernel counts a user's processes over all containers."""
    for lowest in (UID_BASE, 1_000):
        for line in Path("/proc/self/uid_map").read_text().splitlines():
            start, _, count = map(int, line.split())
            low, high = max(start, lowest), min(start + count, LAST_UID)
            if high - low >= USERS_OF_A_PROCESS:
                first = low + secrets.randbelow((high - low) // USERS_OF_A_PROCESS) * USERS_OF_A_PROCESS
                return range(first, first + USERS_OF_A_PROCESS)
    return range(UID_BASE, UID_BASE + USERS_OF_A_PROCESS)  # unavailable: the slot's start reports it


def choose_mode(mode: str) -> Mode:
    """Return the kind of isolation, after trying each for ``auto``. Raises SandboxUnavailable."""
    if mode == "none":
        return "none"
    why = "" if mode == "landlock" else bubblewrap_problem()
    if mode != "landlock" and not why:
        return "bubblewrap"
    if mode == "bubblewrap":
        raise SandboxUnavailable(
            f"sandbox.mode=bubblewrap: {why}. Install the package bubblewrap and allow user namespaces, or set "
            "sandbox.mode=landlock."
        )
    if landlock_abi() < 1:
        raise SandboxUnavailable(
            "no isolation is available here: this kernel has no Landlock (it needs Linux 5.13 with landlock among its "
            f"lsm=), and bubblewrap does not work ({why or 'sandbox.mode=landlock'}). Run reward actors on "
            "nodes with one of the two."
        )
    return "landlock"


def may_mount_proc(mode: Mode) -> bool:
    """Return whether programs in this mode may have a /proc of their own."""
    return mode == "bubblewrap" and not bubblewrap_problem("--proc", "/proc")


def bubblewrap_problem(*more: str) -> str:
    """Return why bubblewrap does not work here with ``more`` arguments; empty if it does."""
    import subprocess

    program = shutil.which("bwrap", path=languages.PATH)
    if program is None:
        return "bwrap is not installed"
    user = {"user": UID_BASE, "group": UID_BASE, "extra_groups": []} if os.geteuid() == 0 else {}
    probe = [program, "--unshare-all", "--as-pid-1", "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib"]
    probe += ["--symlink", "usr/lib64", "/lib64", "--dev", "/dev", "--tmpfs", "/tmp", *more, "/usr/bin/true"]
    try:
        done = subprocess.run(probe, capture_output=True, text=True, timeout=20, env={}, cwd="/", **user)  # type: ignore[call-overload]
    except (OSError, subprocess.SubprocessError) as error:
        return f"bwrap cannot be started: {error}"
    return "" if done.returncode == 0 else f"bwrap fails: {done.stderr.strip() or done.returncode}"


def find_python(*, of_this_version: bool = False) -> str:
    """Return an interpreter whose files every user may read, the system's before this process's own.

    Args:
        of_this_version: the interpreter has to be able to import the packages installed for this process.
    """
    own = str(Path(sys.executable).resolve())
    system = "/usr/bin/python3" + (f".{sys.version_info.minor}" if of_this_version else "")
    for candidate in (system, own):
        path = Path(candidate)
        others_may = all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)
        if path.exists() and (others_may or os.geteuid() != 0):  # as root, slots run as other users
            return candidate
    raise SandboxUnavailable(
        f"found no Python that untrusted programs can run under: {system} is not installed, and {own} lies in a folder "
        f"that other users may not enter. Install the Debian package {Path(system).name}, or set sandbox.python."
    )
