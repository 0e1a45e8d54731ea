"""One slot of the sandbox: the supervisor's end of one zygote."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from r1ray.errors import InfrastructureError, SandboxUnavailable
from r1ray.sandbox import languages
from r1ray.sandbox.filters import PROFILES, SESSIONS, compile_filters, filter_of
from r1ray.sandbox.inside.command_child import remove_tree
from r1ray.sandbox.inside.wire import Job, receive, send
from r1ray.sandbox.job import Command, Limits, Run

Mode = Literal["bubblewrap", "landlock", "none"]
START_S, IMPORT_S = 20.0, 60.0
"""Longest time to start a slot, and to import its modules, on a busy machine."""
GRACE_S = 5.0
"""Time that the supervisor waits after a job's wall clock before it ends the slot."""
SCRATCH_KIB = 128 * 1024
LIBRARY_INSIDE = "/r1ray"
"""Path of the library folder inside bubblewrap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotSettings:
    """Settings of all slots of one sandbox."""

    mode: Mode
    python: str
    """The interpreter of programs, in a tree that they may read."""
    library: str
    """Folder that holds the zygote and landlockpy, readable for the slots' users."""
    scratch: str
    """Parent of each slot's own folder. Unused in bubblewrap, which has a file system in memory."""
    uid_base: int | None
    """Slot N runs as user ``uid_base + N``, which needs root; None: as this process's own user."""
    may_mount_proc: bool = False
    """True if bubblewrap may mount /proc. Pods mask /proc, which forbids it; only Mono needs it."""
    max_landlock_abi: int = 99
    """Highest version of Landlock that is used. Tests simulate an older kernel with it."""
    packages: tuple[str, ...] = ()
    """Folders that programs may import from, besides the standard library."""
    imports: tuple[str, ...] = ()
    """Modules that are imported once, for all programs of the slot."""
    sessions: bool = False
    """True if the slot holds sessions (:mod:`r1ray.sandbox.sessions`) and runs no jobs."""


def stage_library(folder: Path) -> None:
    """Copy the modules that the zygote imports into ``folder``. The sandbox's interpreter does not see this
    environment."""
    import landlockpy

    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(landlockpy.__file__).parent, folder / "landlockpy", ignore=ignore)
    shutil.copytree(Path(__file__).parent / "inside", folder / "r1ray" / "sandbox" / "inside", ignore=ignore)
    for package in (folder / "r1ray", folder / "r1ray" / "sandbox"):
        (package / "__init__.py").touch()
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)


def python_paths(python: str) -> tuple[str, ...]:
    """Return the prefix folders of an interpreter outside /usr that programs have to read."""
    prefix = subprocess.run(
        [python, "-I", "-S", "-c", "import sys; print(sys.base_prefix)"], capture_output=True, text=True, timeout=30
    ).stdout.strip()
    return () if not prefix or prefix == "/usr" else (prefix,)


_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")
_SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/localtime", "/dev/zero", "/dev/urandom", "/dev/random", "/dev/full")
_TOOL_CONFIGURATION = ("/etc/alternatives", "/etc/java-17-openjdk", "/etc/java-21-openjdk", "/etc/mono")


def _landlock_paths(settings: SlotSettings) -> dict[str, dict[str, list[str]]]:
    prefixes = [*python_paths(settings.python), *settings.packages]
    shared = {"files": list(_SYSTEM_FILES)}
    zoneinfo = "/usr/share/zoneinfo"
    everything = ["/usr", "/bin", *_LIBRARIES]
    python = shared | {"read": [*_LIBRARIES, zoneinfo, *prefixes]}
    return {
        "python": python,
        "native": shared | {"read": [*_LIBRARIES, "/usr/share", *_TOOL_CONFIGURATION]},
        "shell": shared | {"run": [*everything, *prefixes], "read": list(_TOOL_CONFIGURATION)},
        "session": python,
    }


def as_they_are(*folders: str) -> list[str]:
    """Return bubblewrap's arguments that make the system's folders readable inside; links stay links."""
    arguments: list[str] = []
    for folder in folders:
        if os.path.islink(folder):
            arguments += ["--symlink", os.readlink(folder), folder]
        elif os.path.isdir(folder):
            arguments += ["--ro-bind", folder, folder]
    return arguments


def _bubblewrap(settings: SlotSettings) -> list[str]:
    arguments = ["bwrap", "--unshare-all", "--as-pid-1", "--cap-drop", "ALL", "--clearenv", "--new-session"]
    arguments += as_they_are("/usr", "/bin", "/lib", "/lib64", "/sbin")
    for path in ("/etc/ld.so.cache", "/etc/localtime", *_TOOL_CONFIGURATION, *python_paths(settings.python)):
        arguments += ["--ro-bind-try", path, path]
    arguments += ["--dev", "/dev", "--size", str(2 * SCRATCH_KIB * 1024), "--tmpfs", "/tmp", "--chdir", "/tmp"]
    for path in settings.packages:
        arguments += ["--ro-bind", path, path]
    arguments += ["--ro-bind", settings.library, LIBRARY_INSIDE]
    arguments += ["--proc", "/proc"] if settings.may_mount_proc else []
    return [*arguments, "--remount-ro", "/dev", "--remount-ro", "/"]


class Slot:
    """One zygote and its socket, for one thread at a time, as :class:`r1ray.sandbox.pool.Sandbox` ensures."""

    def __init__(self, settings: SlotSettings, index: int, core: int | None) -> None:
        """Start the slot. Raises SandboxUnavailable."""
        self._settings, self.index = settings, index
        uid = None if settings.uid_base is None else settings.uid_base + index
        scratch = self._scratch_folder(uid)
        has_pids = settings.mode == "bubblewrap"
        command = _bubblewrap(settings) if has_pids else []
        self._library = LIBRARY_INSIDE if has_pids else settings.library
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        start = (
            f"import sys; sys.path.insert(0, {self._library!r}); from r1ray.sandbox.inside import zygote; "
            f"zygote.main({theirs.fileno()})"
        )
        command += [settings.python, "-I", "-S", "-c", start]
        self._socket, self._zygote_pidfd = ours, -1
        user: dict[str, Any] = {} if uid is None else {"user": uid, "group": uid, "extra_groups": []}
        with tempfile.TemporaryFile() as complaints:
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=complaints,
                    env={"PATH": languages.PATH, "LANG": "C.UTF-8"},
                    pass_fds=[theirs.fileno()],
                    close_fds=True,
                    cwd="/",
                    **user,
                )
            except OSError as error:
                raise SandboxUnavailable(f"a sandbox slot cannot be started: {error}") from error
            finally:
                theirs.close()
            self.landlock_abi = self._greet(scratch, has_pids, uid, core, complaints)

    def _scratch_folder(self, uid: int | None) -> str:
        if self._settings.mode == "bubblewrap":
            return "/tmp"
        folder = Path(self._settings.scratch, str(self.index))
        remove_tree(str(folder))
        folder.mkdir(mode=0o700)
        if uid is not None:
            os.chown(folder, uid, uid)
        return str(folder)

    def _greet(self, scratch: str, has_pids: bool, uid: int | None, core: int | None, complaints: Any) -> int:
        abi = min(landlock_abi(), self._settings.max_landlock_abi)
        sessions = self._settings.sessions
        # Sessions have neighbours in their namespace, which only Landlock protects from signals.
        may_signal = abi >= 6 or (has_pids and not sessions)
        profiles = SESSIONS if sessions else PROFILES
        filters = compile_filters(may_signal=may_signal, has_landlock=abi > 0, profiles=profiles)
        settings = {
            "filters": {name: code.hex() for name, code in filters.items()},
            "paths": _landlock_paths(self._settings),
            "packages": self._settings.packages,
            "imports": self._settings.imports,
            "mode": self._settings.mode,
            "sessions": sessions,
            "library": self._library,
            "scratch": scratch,
            "pid_namespace": has_pids,
            "own_ids": has_pids or uid is not None,
            "core": core,
            "max_landlock_abi": self._settings.max_landlock_abi,
        }
        self._socket.settimeout(IMPORT_S if self._settings.imports else START_S)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            send(self._socket, settings, [proc])
            data, ancillary, _, _ = self._socket.recvmsg(1 << 16, 1 << 10)
            if not data:
                raise ConnectionResetError("it ended")
        except OSError as error:
            self.close()
            complaints.seek(0)
            said = complaints.read().decode(errors="replace").strip().splitlines()
            raise SandboxUnavailable(f"a sandbox slot does not start: {said[-1] if said else error}") from error
        finally:
            os.close(proc)
        # The kernel names the process at the other end, in this process's numbering.
        credentials = next(
            d for level, kind, d in ancillary if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS)
        )
        self.zygote_pid = int.from_bytes(credentials[:4], sys.byteorder)
        self._zygote_pidfd = os.pidfd_open(self.zygote_pid)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
        return int(json.loads(data)["landlock"])

    @property
    def process_pid(self) -> int:
        """The process that was started: bubblewrap, or the guardian."""
        return self._process.pid

    def run_python(self, payload: Job, limits: Limits, *, stdin: bytes = b"", has_result: bool = False) -> Run:
        """Run one program under the zygote's own interpreter. Raises InfrastructureError; the slot is then gone."""
        with Memfds() as fds:
            payload_fd = fds.make("payload", json.dumps(payload).encode())
            stdin_fd, out, err = fds.make("stdin", stdin, sealed=True), fds.make("stdout"), fds.make("stderr")
            result = [fds.make("result")] if has_result else []
            job = _job("python", "python", limits)
            reply = self._ask(job, [payload_fd, stdin_fd, out, err, *result], limits.wall_s)
            return _run(reply, limits, limits.output_kib, out, err, *result)

    def run_pair(self, candidate: Job, tester: Job, limits: Limits) -> Run:
        """Run a candidate and its tester in two processes. The verdict is the run's ``result``."""
        with Memfds() as fds:
            nothing = fds.make("stdin", b"", sealed=True)
            descriptors = [fds.make("candidate", json.dumps(candidate).encode()), nothing, fds.make("o"), fds.make("e")]
            out, err, result = fds.make("stdout"), fds.make("stderr"), fds.make("verdict")
            descriptors += [fds.make("tester", json.dumps(tester).encode()), nothing, out, err, result]
            reply = self._ask(_job("pair", "python", limits), descriptors, limits.wall_s)
            return _run(reply, limits, limits.output_kib, out, err, result)

    def run_command(self, command: Command, limits: Limits, *, stdin: bytes = b"") -> tuple[Run, int | None]:
        """Run a command. Return its run and the memfd of its artifact, which the caller has to close."""
        with Memfds() as fds:
            files = [c if isinstance(c, int) else fds.make(name, c) for name, c in command.files.items()]
            stdin_fd, out, err = fds.make("stdin", stdin, sealed=True), fds.make("stdout"), fds.make("stderr")
            job = _job("command", command.profile, limits) | {
                "argv": command.argv,
                "files": list(command.files),
                "environment": command.environment,
                "collect": command.collect,
                "memory_rlimit": command.memory_rlimit,
                "filter": filter_of(command.profile, command.memory_rlimit),
                "reads_own_maps": command.reads_own_maps,
                "memory_mib": limits.memory_mib + command.memory_overhead_mib,
                "file_kib": command.file_kib or limits.output_kib,
                "num_entries": command.num_entries,
            }
            back: list[int] = []
            reply = self._ask(job, [*files, stdin_fd, out, err], limits.wall_s, back)
            return _run(reply, limits, job["file_kib"], out, err), (_copied(back[0]) if back else None)

    def _ask(self, job: Job, descriptors: list[int], wall_s: float, back: list[int] | None = None) -> Job:
        try:
            self._socket.settimeout(wall_s + GRACE_S)
            send(self._socket, job, descriptors)
            received = receive(self._socket)
            if received is None:
                raise ConnectionResetError("its process ended")
        except OSError as error:  # includes the timeout, which is the second wall clock
            self.close()
            raise InfrastructureError(f"sandbox slot {self.index} was lost: {error or type(error).__name__}") from error
        reply, more = received
        if back is None:
            for descriptor in more:
                os.close(descriptor)
        else:
            back += more
        return reply

    def close(self) -> None:
        """End the slot and everything in it. Idempotent."""
        self._socket.close()
        if self._zygote_pidfd >= 0:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                signal.pidfd_send_signal(self._zygote_pidfd, signal.SIGKILL)
            os.close(self._zygote_pidfd)
            self._zygote_pidfd = -1
        try:
            self._process.wait(GRACE_S)  # the guardian ends the zygote's processes; bubblewrap ends with its namespace
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._settings.mode != "bubblewrap":
            remove_tree(str(Path(self._settings.scratch, str(self.index))))


def landlock_abi() -> int:
    """Return Landlock's version on this kernel, 0 if it has none."""
    landlockpy = importlib.import_module("landlockpy")
    return int(landlockpy.abi_version())


def _job(op: str, profile: str, limits: Limits) -> Job:
    return {
        "op": op,
        "profile": profile,
        "cpu_s": limits.cpu_s,
        "wall_s": limits.wall_s,
        "memory_mib": limits.memory_mib,
        "filter": profile,
        "memory_rlimit": "AS",
        "file_kib": limits.output_kib,
        "descriptors": 256 if profile != "python" else 64,
        "processes": 64 if profile != "native" else 256,
        "quota_kib": SCRATCH_KIB,
    }


class Memfds:
    """The memfds of one job; closed at its end."""

    _SEALS = 0x0002 | 0x0004 | 0x0008  # F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE

    def __init__(self) -> None:
        self._open: list[int] = []

    def __enter__(self) -> Memfds:
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in self._open:
            os.close(descriptor)

    def make(self, name: str, content: bytes = b"", *, sealed: bool = False) -> int:
        descriptor = memfd(name, content, sealed=sealed)
        self._open.append(descriptor)
        return descriptor


def memfd(name: str, content: bytes = b"", *, sealed: bool = False) -> int:
    """Make a file in memory and return its descriptor, positioned at the beginning."""
    import fcntl

    flags = os.MFD_CLOEXEC | (os.MFD_ALLOW_SEALING if sealed else 0)
    descriptor = os.memfd_create(name, flags)
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    if sealed:
        fcntl.fcntl(descriptor, 1033, Memfds._SEALS)  # F_ADD_SEALS
    return descriptor


def _copied(source: int) -> int:
    """Return a sealed copy of a file that a program made, and close the original."""
    content = os.pread(source, languages.ARTIFACT_KIB * 1024, 0)
    os.close(source)
    return memfd("artifact", content, sealed=True)


def _content(descriptor: int, kib: int) -> bytes:
    return os.pread(descriptor, kib * 1024, 0)


def _run(reply: Mapping[str, Any], limits: Limits, file_kib: int, out: int, err: int, result: int | None = None) -> Run:
    stdout, stderr = _content(out, limits.output_kib), _content(err, 64)
    status, is_full = int(reply["status"]), os.fstat(out).st_size >= limits.output_kib * 1024
    ended: Any = "exited"
    if reply["broken"]:
        raise InfrastructureError(f"the sandbox's restrictions could not be applied: {reply['broken']}")
    if reply["cpu_s"] >= limits.cpu_s or status in (-signal.SIGXCPU, -signal.SIGPROF):
        ended = "cpu"
    elif reply["timed_out"]:
        ended = "late" if reply["late_s"] > 0.1 * limits.wall_s else "wall"
    elif is_full or reply["over_quota"] or status == -signal.SIGXFSZ:
        ended = "output"
    elif (status != 0 and b"MemoryError" in stderr[-400:]) or b"bad_alloc" in stderr or b"OutOfMemory" in stderr:
        ended = "memory"
    elif status < 0:
        ended = "signal"
    return Run(
        ended=ended,
        exit_code=status,
        stdout=stdout,
        stderr=stderr,
        cpu_s=float(reply["cpu_s"]),
        wall_s=float(reply["wall_s"]),
        result=b"" if result is None else _content(result, limits.output_kib),
        late_s=float(reply["late_s"]),
    )
