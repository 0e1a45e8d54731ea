"""The sandbox: slots, the compile cache, the retry of late runs, and the start-up self-test."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import itertools
import os
import queue
import secrets
import shutil
import sys
import tempfile
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

from r1ray.errors import DeadlineExceeded, InfrastructureError, MachineTooBusy, SandboxUnavailable
from r1ray.sandbox import languages
from r1ray.sandbox.inside.command_child import remove_tree
from r1ray.sandbox.inside.wire import Job
from r1ray.sandbox.job import Limits, Run
from r1ray.sandbox.packages import find_packages, stage_packages
from r1ray.sandbox.probes import self_test
from r1ray.sandbox.slot import Mode, Slot, SlotSettings, landlock_abi, stage_library

T = TypeVar("T")
UNSAFE = "r1ray: UNSAFE: sandbox.mode=none: programs that a model writes run here without any isolation."
CACHE_BYTES = 256 << 20
UID_BASE, LAST_UID, USERS_OF_A_PROCESS = 200_000, 1 << 31, 256
PREFIX, OWNER = "r1ray-sandbox-", "owner"
QUEUE_S = 600.0
"""How long a job waits for a free slot."""


class Artifact:
    """A memfd that is closed when nobody uses it any more."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor, self.size = descriptor, os.fstat(descriptor).st_size

    def __del__(self) -> None:
        os.close(self.descriptor)


@dataclass(frozen=True, slots=True)
class Compiled:
    """What a compiler made of a program."""

    artifact: Artifact | None
    """None where the program does not compile, or needs no compiler."""
    run: Run | None
    """The compiler's run; None where there was none."""


class Sandbox:
    """Runs untrusted programs. Safe to use from any number of threads; each run occupies one slot."""

    def __init__(
        self,
        *,
        num_slots: int = 0,
        mode: str = "auto",
        python: str | None = None,
        max_landlock_abi: int = 99,
        packages: tuple[str, ...] = (),
        imports: tuple[str, ...] = (),
        allowed: Sequence[str] = (),
    ) -> None:
        """Start the slots and try to break out of them.

        Args:
            num_slots: 0 makes one for each core of this process.
            mode: ``auto`` takes bubblewrap where it works, else Landlock alone. ``none`` isolates nothing.
            python: the interpreter for Python programs; None finds one outside home folders.
            packages: folders that Python programs may import from, beside the standard library.
            imports: modules that each slot imports once, so that no program has to.
            allowed: packages of this environment that programs may import, too.

        Raises:
            SandboxUnavailable: isolation that holds cannot be had; the message says what is missing.
            UserError: a package of ``allowed`` is not installed.
        """
        found = find_packages(allowed)
        cores = sorted(os.sched_getaffinity(0))
        self.num_slots = num_slots or len(cores)
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
        self._settings = SlotSettings(
            mode=chosen,
            may_mount_proc=chosen == "bubblewrap" and not bubblewrap_problem("--proc", "/proc"),
            python=interpreter,
            library=str(library),
            scratch=str(scratch),
            uid_base=own_users(self.num_slots) if os.geteuid() == 0 and chosen != "none" else None,
            max_landlock_abi=max_landlock_abi,
            packages=packages,
            imports=imports,
        )
        self.mode: Mode = self._settings.mode
        self._cores = cores
        self._free: queue.LifoQueue[Slot | int] = queue.LifoQueue()
        self._slots: dict[int, Slot] = {}
        self._artifacts: OrderedDict[str, Compiled] = OrderedDict()
        self._compiling: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()
        self._is_closed = False
        try:
            for index in reversed(range(self.num_slots)):
                self._free.put(self._start(index))
            if self.mode == "none":
                print(UNSAFE, file=sys.stderr, flush=True)
            else:
                self_test(self)
        except BaseException:
            self.close()
            raise

    # ------------------------------------------------------------------ running

    def run_program(self, language: str, source: str, limits: Limits, *, stdin: bytes = b"") -> Run:
        """Compile where that is needed, and run with ``stdin``. A program that does not compile gives the compiler's
        run. Raises InfrastructureError."""
        if language == "python":
            payload = {"mode": "program", "source": source}
            return self._patiently(lambda slot: slot.run_python(payload, limits, stdin=stdin))
        known = languages.language_of(language)
        compiled = self.compile(language, source)
        if compiled.run is not None and compiled.artifact is None:
            return compiled.run
        descriptor = None if compiled.artifact is None else compiled.artifact.descriptor
        command = languages.run_command(known, source, descriptor, limits)

        def once(slot: Slot) -> Run:
            run, artifact = slot.run_command(command, limits, stdin=stdin)
            assert artifact is None
            return run

        return self._patiently(once)

    def compile(self, language: str, source: str) -> Compiled:
        """The artifact of a program; cached by the hash of language, command and source."""
        known = languages.language_of(language)
        if known.compile is None:
            return Compiled(None, None)
        key = hashlib.sha256(repr((language, known.compile, source)).encode("utf-8", "surrogatepass")).hexdigest()
        with self._guard:
            lock = self._compiling.setdefault(key, threading.Lock())
        with lock:
            with self._guard:
                if key in self._artifacts:
                    self._artifacts.move_to_end(key)
                    return self._artifacts[key]
            compiled = self._compile(known, source)
            with self._guard:
                self._compiling.pop(key, None)
                if compiled.run is not None and compiled.run.ended == "exited":  # else it may do better next time
                    self._artifacts[key] = compiled
                self._trim()
            return compiled

    def _compile(self, language: languages.Language, source: str) -> Compiled:
        command = languages.compile_command(language, source)
        made: list[Artifact | None] = []

        def once(slot: Slot) -> Run:
            run, artifact = slot.run_command(command, languages.COMPILE_LIMITS)
            made.append(None if artifact is None else Artifact(artifact))
            return run

        run = self._patiently(once)
        # What a compiler that was cut short has left is no program; tsc alone complains about good ones.
        if run.ended != "exited" or (run.exit_code != 0 and language.name != "typescript"):
            made.append(None)
        return Compiled(made[-1], run)

    def _trim(self) -> None:
        total = sum(c.artifact.size for c in self._artifacts.values() if c.artifact is not None)
        while (total > CACHE_BYTES or len(self._artifacts) > 4096) and len(self._artifacts) > self.num_slots:
            _, oldest = self._artifacts.popitem(last=False)
            total -= 0 if oldest.artifact is None else oldest.artifact.size

    def run_calls(self, source: str, entry: str, calls: list[object], limits: Limits, *, call_s: float) -> Run:
        """Call ``entry`` once for each list of encoded arguments; the results are lines of JSON in ``result``."""
        payload = {"mode": "calls", "source": source, "entry": entry, "calls": calls, "call_s": call_s}
        return self._patiently(lambda slot: slot.run_python(payload, limits, has_result=True))

    def run_asserts(self, source: str, entry: str | None, tests: str, limits: Limits, *, prelude: str = "") -> Run:
        """Run the data set's asserts in one sandbox against the candidate in another; the verdict is ``result``.
        ``prelude``: code of the data set that the candidate relies on."""
        candidate: Job = {"mode": "candidate", "source": source, "prelude": prelude}
        tester: Job = {"mode": "tester", "tests": tests, "entry": entry}
        return self._patiently(lambda slot: slot.run_pair(candidate, tester, limits))

    def run_checker(self, source: str, *, stdin: str, expected: str, printed: str, limits: Limits) -> Run:
        """Run the data set's own checker on what a program printed."""
        payload = {"mode": "checker", "source": source, "stdin": stdin, "expected": expected, "printed": printed}
        return self._patiently(lambda slot: slot.run_python(payload, limits, has_result=True))

    def _patiently(self, attempt: Callable[[Slot], Run]) -> Run:
        """Once more where the slot was lost, or where the wall clock ended a program that used little CPU; a machine
        that is too busy both times is an error of the machine, never of the program."""
        try:
            run = self._with_slot(attempt)
        except InfrastructureError:
            return self._with_slot(attempt)
        if run.ended in ("wall", "late"):
            run = self._with_slot(attempt)
        if run.ended == "late":
            raise MachineTooBusy(
                f"this machine is too busy to judge a program: {run.cpu_s:.1f} s of CPU in {run.wall_s:.1f} s, twice"
            )
        return run

    def _with_slot(self, attempt: Callable[[Slot], T]) -> T:
        with self._slot() as slot:
            return attempt(slot)

    # ------------------------------------------------------------------ slots

    @contextmanager
    def _slot(self) -> Iterator[Slot]:
        try:
            slot = self._free.get(timeout=QUEUE_S)
        except queue.Empty:
            message = f"a program waited {QUEUE_S:g} s for a free sandbox slot; raise sandbox.num_slots."
            raise DeadlineExceeded(message) from None
        index = slot if isinstance(slot, int) else slot.index
        back: Slot | int = index  # where it is lost, the next job starts another one
        try:
            if self._is_closed:
                raise InfrastructureError("the sandbox is closed")
            ready = self._start(index) if isinstance(slot, int) else slot
            back = ready
            yield ready
        except BaseException:
            back = index
            raise
        finally:
            self._free.put(back)

    def _start(self, index: int) -> Slot:
        with self._guard:
            before = self._slots.pop(index, None)
        if before is not None:
            before.close()
        # A core each only where this sandbox has them all: others on this machine would choose the same ones.
        core = self._cores[index] if self.num_slots == len(self._cores) else None
        slot = Slot(self._settings, index, core)
        with self._guard:
            if not self._is_closed:
                self._slots[index] = slot
                return slot
        slot.close()
        raise InfrastructureError("the sandbox is closed")

    @property
    def uid_base(self) -> int | None:
        """Slot N runs as user ``uid_base + N``; None: all run as this process's user."""
        return self._settings.uid_base

    @property
    def slots(self) -> tuple[Slot, ...]:
        return tuple(self._slots[index] for index in sorted(self._slots))

    def close(self) -> None:
        """End all slots. Idempotent."""
        with self._guard:
            self._is_closed = True
            slots = list(self._slots.values())
            self._slots.clear()
        for slot in slots:
            slot.close()
        self._artifacts.clear()
        self._cleanup()
        self._owner.close()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def claim(path: Path) -> IO[bytes]:
    """A file that is locked for as long as it is open. Raises BlockingIOError where another process has it."""
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise
    return file


def sweep() -> None:
    """Remove the folders of sandboxes whose process was killed: nothing of theirs ran after it."""
    for owner in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{OWNER}"):
        with contextlib.suppress(OSError), claim(owner):
            remove_tree(str(owner.parent))


_users = itertools.count()


def own_users(num_slots: int) -> int:
    """The first of so many user numbers that no other sandbox of this machine has: limits on processes are kept for
    each user."""
    first = next(_users)
    for _ in range(num_slots - 1):
        next(_users)
    return users_of_process(os.getpid()).start + first % USERS_OF_A_PROCESS


@functools.cache
def users_of_process(pid: int) -> range:
    """User numbers of this process, ``pid``, drawn by chance: containers have the same process numbers, and the kernel
    counts a user's processes over all of them."""
    for lowest in (UID_BASE, 1_000):
        for line in Path("/proc/self/uid_map").read_text().splitlines():
            start, _, count = map(int, line.split())
            low, high = max(start, lowest), min(start + count, LAST_UID)
            if high - low >= USERS_OF_A_PROCESS:
                first = low + secrets.randbelow((high - low) // USERS_OF_A_PROCESS) * USERS_OF_A_PROCESS
                return range(first, first + USERS_OF_A_PROCESS)
    return range(UID_BASE, UID_BASE + USERS_OF_A_PROCESS)  # not to be had: a slot's start says so


def choose_mode(mode: str) -> Mode:
    """``auto`` decided by trying. Raises SandboxUnavailable."""
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
            "no isolation can be had here: this kernel has no Landlock (it needs Linux 5.13 with landlock among its "
            f"lsm=), and bubblewrap does not work ({why or 'sandbox.mode=landlock'}). Run reward actors on "
            "nodes with one of the two."
        )
    return "landlock"


def bubblewrap_problem(*more: str) -> str:
    """Why bubblewrap, with ``more`` arguments, does not work here; empty where it does."""
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
    """An interpreter whose files every user may read: the system's before this process's own.

    Args:
        of_this_version: it has to be able to import what is installed for this process.
    """
    own = str(Path(sys.executable).resolve())
    system = "/usr/bin/python3" + (f".{sys.version_info.minor}" if of_this_version else "")
    for candidate in (system, own):
        path = Path(candidate)
        others_may = all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)
        if path.exists() and (others_may or os.geteuid() != 0):  # as root, slots run as other users
            return candidate
    raise SandboxUnavailable(
        f"no Python that untrusted programs could run under: {system} is not installed, and {own} lies in a folder "
        f"that other users may not enter. Install the Debian package {Path(system).name}, or set sandbox.python."
    )
