"""The sandbox: slots, the compile cache, the retry of late runs, and the start-up self-test."""

from __future__ import annotations

import hashlib
import os
import queue
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from r1ray.errors import DeadlineExceeded, InfrastructureError, MachineTooBusy
from r1ray.sandbox import languages
from r1ray.sandbox.home import UNSAFE, Home
from r1ray.sandbox.inside.wire import Job
from r1ray.sandbox.job import Command, Limits, Run
from r1ray.sandbox.probes import self_test
from r1ray.sandbox.slot import Mode, Slot

T = TypeVar("T")
CACHE_BYTES = 256 << 20
QUEUE_S = 600.0
"""Longest time that a job waits for a free slot."""


class Artifact:
    """A memfd that is closed with the last reference to this object."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor, self.size = descriptor, os.fstat(descriptor).st_size

    def __del__(self) -> None:
        os.close(self.descriptor)


@dataclass(frozen=True, slots=True)
class Compiled:
    """The result of compiling a program."""

    artifact: Artifact | None
    """None if the program does not compile or needs no compiler."""
    run: Run | None
    """The compiler's run; None if there was none."""


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
            mode: ``auto`` uses bubblewrap if it works, else Landlock alone. ``none`` isolates nothing.
            python: the interpreter for Python programs; None finds one outside home folders.
            packages: folders that Python programs may import from, besides the standard library.
            imports: modules that each slot imports once, so that no program has to.
            allowed: packages of this environment that programs may import, too.

        Raises:
            SandboxUnavailable: no working isolation is available. The message says what is missing.
            UserError: a package of ``allowed`` is not installed.
        """
        cores = sorted(os.sched_getaffinity(0))
        self.num_slots = num_slots or len(cores)
        self._home = Home(
            num_users=self.num_slots,
            mode=mode,
            python=python,
            max_landlock_abi=max_landlock_abi,
            packages=packages,
            imports=imports,
            allowed=allowed,
        )
        self.folder, self._settings = self._home.folder, self._home.settings
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
        """Compile a program if it needs that, and run it with ``stdin``. If it does not compile, the compiler's run is
        returned. Raises InfrastructureError."""
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

    def run_command(self, command: Command, limits: Limits, *, stdin: bytes = b"") -> tuple[Run, bytes | None]:
        """Run a command. Return its run and the content of its artifact, which is None if it left nothing or its time
        was up. The caller decides about a run that is ``late``. Raises InfrastructureError."""

        def once(slot: Slot) -> tuple[Run, bytes | None]:
            run, artifact = slot.run_command(command, limits, stdin=stdin)
            left = None if artifact is None else Artifact(artifact)
            return run, None if left is None else os.pread(left.descriptor, left.size, 0)

        try:
            return self._with_slot(once)
        except InfrastructureError:  # the slot was lost: try once more
            return self._with_slot(once)

    @property
    def python(self) -> tuple[str, tuple[str, ...]]:
        """The interpreter of Python programs, and the folders that they may import from."""
        return self._settings.python, self._settings.packages

    def compile(self, language: str, source: str) -> Compiled:
        """Return the artifact of a program, cached by the hash of language, command and source."""
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
                if compiled.run is not None and compiled.run.ended == "exited":  # else it may succeed next time
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
        # An interrupted compiler leaves no usable program. Only tsc reports errors for good ones.
        if run.ended != "exited" or (run.exit_code != 0 and language.name != "typescript"):
            made.append(None)
        return Compiled(made[-1], run)

    def _trim(self) -> None:
        total = sum(c.artifact.size for c in self._artifacts.values() if c.artifact is not None)
        while (total > CACHE_BYTES or len(self._artifacts) > 4096) and len(self._artifacts) > self.num_slots:
            _, oldest = self._artifacts.popitem(last=False)
            total -= 0 if oldest.artifact is None else oldest.artifact.size

    def run_calls(self, source: str, entry: str, calls: list[object], limits: Limits, *, call_s: float) -> Run:
        """Call ``entry`` once for each list of encoded arguments. The results are lines of JSON in ``result``."""
        payload = {"mode": "calls", "source": source, "entry": entry, "calls": calls, "call_s": call_s}
        return self._patiently(lambda slot: slot.run_python(payload, limits, has_result=True))

    def run_asserts(self, source: str, entry: str | None, tests: str, limits: Limits, *, prelude: str = "") -> Run:
        """Run the data set's asserts in one sandbox against the candidate in another. The verdict is in ``result``.
        ``prelude``: code of the data set that the candidate relies on."""
        candidate: Job = {"mode": "candidate", "source": source, "prelude": prelude}
        tester: Job = {"mode": "tester", "tests": tests, "entry": entry}
        return self._patiently(lambda slot: slot.run_pair(candidate, tester, limits))

    def run_checker(self, source: str, *, stdin: str, expected: str, printed: str, limits: Limits) -> Run:
        """Run the data set's own checker on the output of a program."""
        payload = {"mode": "checker", "source": source, "stdin": stdin, "expected": expected, "printed": printed}
        return self._patiently(lambda slot: slot.run_python(payload, limits, has_result=True))

    def _patiently(self, attempt: Callable[[Slot], Run]) -> Run:
        """Make one attempt, and a second one if the slot was lost or the wall clock ended a program that used little
        CPU. If the machine is too busy both times, that is an error of the machine, never of the program."""
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
        back: Slot | int = index  # if the slot is lost, the next job starts another one
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
        # Slots are bound to cores only if this sandbox has a slot for each: otherwise other sandboxes on this machine
        # would choose the same cores.
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
        self._home.close()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
