"""The restrictions that a child applies to itself before it becomes the program: rlimits, Landlock, seccomp."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import resource
import signal
from typing import Any

import landlockpy as landlock
from landlockpy import AccessFS

from r1ray.sandbox.inside.wire import Job

READ_FILE = AccessFS.READ_FILE
READ = AccessFS.READ_FILE | AccessFS.READ_DIR
RUN = READ | AccessFS.EXECUTE
WRITE = (
    READ
    | AccessFS.WRITE_FILE
    | AccessFS.REMOVE_DIR
    | AccessFS.REMOVE_FILE
    | AccessFS.MAKE_DIR
    | AccessFS.MAKE_REG
    | AccessFS.MAKE_SYM
    | AccessFS.MAKE_FIFO
    | AccessFS.REFER
    | AccessFS.TRUNCATE
    | AccessFS.EXECUTE
)
FILES = WRITE & ~(AccessFS.EXECUTE | AccessFS.MAKE_SYM | AccessFS.MAKE_FIFO)
OWN_FOLDER = {"native": RUN, "shell": WRITE, "session": FILES}
"""Rights in the folder of a job, by its profile."""
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 36, 38
SECCOMP_MODE_FILTER = 2
STATUS = 199
"""The child's descriptor of a pipe on which only this package's own code can report that the restrictions could not be
applied."""
LIBC = ctypes.CDLL(None, use_errno=True)


class _Fprog(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def prctl(option: int, *arguments: Any) -> None:
    if LIBC.prctl(option, *arguments, *[0] * (4 - len(arguments))) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl {option}: {os.strerror(code)}")


class Lock:
    """The restrictions of one slot, built once and applied in each child."""

    def __init__(self, settings: Job) -> None:
        self.settings = settings
        self.abi = min(landlock.abi_version(), settings["max_landlock_abi"])
        self._filters = {}
        for profile, code in settings["filters"].items():
            data = bytes.fromhex(code)
            self._filters[profile] = _Fprog(len(data) // 8, data)
        self._python = self._ruleset("python") if self.abi else None

    def _ruleset(
        self,
        profile: str,
        folder: str | None = None,
        files: tuple[str, ...] = (),
        executables: tuple[str, ...] = (),
    ) -> landlock.Ruleset:
        scope = landlock.scope_for_abi(self.abi)
        rules = landlock.Ruleset(
            handled_fs=landlock.fs_for_abi(self.abi),
            handled_net=landlock.net_for_abi(self.abi),
            scoped=scope,
            best_effort=False,
        )
        allowed = {"files": READ_FILE, "read": READ, "run": RUN}
        more = {"files": files, "run": executables}
        for kind, access in allowed.items():
            for path in (*self.settings["paths"][profile].get(kind, ()), *more.get(kind, ())):
                if os.path.exists(path):
                    # Landlock rejects folder rights in a rule for a file.
                    rules.allow_path(path, access if os.path.isdir(path) else access & ~AccessFS.READ_DIR)
        rules.allow_path("/dev/null", READ_FILE | AccessFS.WRITE_FILE)
        if folder is not None:
            rules.allow_path(folder, OWN_FOLDER[profile])
        return rules

    def put_on(self, profile: str, folder: str | None, files: tuple[str, ...], executables: tuple[str, ...]) -> None:
        """Restrict this process permanently. Raises if a restriction cannot be applied."""
        if self.settings["mode"] == "none":
            return
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        if self.abi:
            rules = self._python if profile == "python" else self._ruleset(profile, folder, files, executables)
            assert rules is not None
            rules.restrict(no_new_privs=False)
            rules.close()

    def filter(self, profile: str) -> None:
        """Apply the seccomp filter. This is the last step: the profile then has only the system calls that it needs."""
        if self.settings["mode"] == "none":
            return
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(self._filters[profile]))


def limit(job: Job) -> None:
    """Set the rlimits of a child."""
    kib, cpu = 1024, max(1, int(-(-job["cpu_s"] // 1)))
    file_bytes = job["file_kib"] * kib
    memory = job["memory_mib"] * kib * kib
    values = {
        resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_CPU: (cpu, cpu + 1),
        resource.RLIMIT_FSIZE: (file_bytes, file_bytes),
        resource.RLIMIT_NOFILE: (job["descriptors"], job["descriptors"]),
        resource.RLIMIT_MEMLOCK: (0, 0),
        resource.RLIMIT_MSGQUEUE: (0, 0),
        resource.RLIMIT_STACK: (64 * kib * kib, _most_stack() if job["memory_rlimit"] == "AS" else 64 * kib * kib),
        (resource.RLIMIT_AS if job["memory_rlimit"] == "AS" else resource.RLIMIT_DATA): (memory, memory),
    }
    if job["processes"] is not None:
        values[resource.RLIMIT_NPROC] = (job["processes"], job["processes"])
    for which, pair in values.items():
        resource.setrlimit(which, pair)


def _most_stack() -> int:
    """Return the limit up to which a program may raise its stack. The stack also counts towards the limit of its
    address space."""
    return resource.getrlimit(resource.RLIMIT_STACK)[1]


def processes_counted() -> int:
    """Return the number of processes and threads that the kernel counts against this user's limit. It includes those of
    other containers, which no /proc shows, so a child tries which limit leaves room for one more."""
    read, write = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            os.write(write, str(_smallest_limit()).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as said:
        os.waitpid(pid, 0)
        return int(said.read() or 1 << 20)


def _smallest_limit() -> int:
    _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    low, high = 0, hard if 0 <= hard < 1 << 20 else 1 << 20
    while high - low > 1:
        middle = (low + high) // 2
        resource.setrlimit(resource.RLIMIT_NPROC, (middle, hard))
        try:
            child = os.fork()
        except BlockingIOError:
            low = middle
            continue
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        high = middle
    return high


def _place(descriptors: list[int]) -> None:
    """Renumber ``descriptors`` as 0, 1, 2, ... and close all others except STATUS."""
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD, STATUS + 1) for fd in descriptors]
    for target, fd in enumerate(high):
        os.dup2(fd, target, inheritable=True)
    os.closerange(len(descriptors), STATUS)
    os.closerange(STATUS + 1, 65536)


def become_child(lock: Lock, job: Job, descriptors: list[int], parent: int) -> None:
    """Apply all restrictions. ``descriptors`` become 0, 1, 2, ..., and no other stays open."""
    os.setsid()
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the parent died before the line above
        os._exit(0)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if job["op"] == "command":  # the interpreter ignores these two signals, and exec would inherit that
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    maps = (f"/proc/{os.getpid()}/maps",) if job.get("reads_own_maps") else ()
    lock.put_on(job["profile"], job.get("folder"), maps, tuple(job.get("executables", ())))
    _place(descriptors)
    limit(job)
    lock.filter(job["filter"])
    os.close(STATUS)  # from here on the program is in control
