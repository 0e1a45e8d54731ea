"""The process that programs are forked from. It runs on its own, under the system's Python, with an empty environment.

    supervisor == control socket ==> zygote -- fork --> one locked-down child per job

It receives nothing about a job except its limits. Programs, inputs and outputs travel in memfds that only the child
opens, so that no later child, forked from this memory, can find them here. A child receives nothing of the expected
output.

The process is single-threaded because it forks. Without a process namespace of its own it has a guardian as parent: if
either of the two is killed, the other one ends the processes that are left.
"""

from __future__ import annotations

import builtins
import contextlib
import gc
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence
from typing import Any

from r1ray.sandbox.inside.command_child import artifact_of, command_child, folder_size, remove_tree
from r1ray.sandbox.inside.descendants import drain, end_group
from r1ray.sandbox.inside.lock import (
    PR_SET_CHILD_SUBREAPER,
    PR_SET_DUMPABLE,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    STATUS,
    Lock,
    prctl,
    processes_counted,
)
from r1ray.sandbox.inside.process_times import queued_s
from r1ray.sandbox.inside.python_child import python_child
from r1ray.sandbox.inside.wire import Job, read_at, receive, send, write_at

TICK_S = 0.1
SHARED_ROOM = 256
"""Additional processes in the limit of a job that shares its user with others, which may start some meanwhile."""
FILES_TICK_S = 0.02
"""Time between two counts of a job's files. A disk can create thousands in a tenth of a second and takes longer to
remove them."""
MAX_ENTRIES = 500
"""Files and folders that a job may make."""


class Zygote:
    """Serves jobs, one at a time, until the supervisor's end of the socket is closed."""

    def __init__(self, control: socket.socket, settings: Job, proc: int, held_mib: int) -> None:
        """``proc``: a descriptor of the supervisor's /proc. ``held_mib``: address space that ``sandbox.packages``
        occupy in every program."""
        self._control, self._proc, self._held_mib = control, proc, held_mib
        self._settings = settings
        self._scratch = settings["scratch"]
        self._has_pids = settings["pid_namespace"]
        self._own_ids = settings["own_ids"]
        self._lock = Lock(settings)
        self._jobs = 0
        if settings["core"] is not None:
            with contextlib.suppress(OSError):
                os.sched_setaffinity(0, {settings["core"]})
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        prctl(PR_SET_DUMPABLE, 0)
        gc.collect()
        gc.freeze()

    def serve(self) -> None:
        send(self._control, {"ready": True, "landlock": self._lock.abi}, [])
        while (received := receive(self._control)) is not None:
            job, descriptors = received
            try:
                reply, back = self.run(job, descriptors)
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)
            send(self._control, reply, back)
            for descriptor in back:
                os.close(descriptor)

    def run(self, job: Job, descriptors: list[int]) -> tuple[Job, list[int]]:
        self._jobs += 1
        if job["op"] == "command":
            job["folder"] = os.path.join(self._scratch, str(self._jobs))
            os.mkdir(job["folder"], 0o700)
        if (
            not self._own_ids
        ):  # the limit counts all processes of the user, including the supervisor's and its neighbours'
            shared = job["profile"] == "shell"
            job["processes"] = processes_counted() + SHARED_ROOM if shared else None
        if job["profile"] == "python":
            job["memory_mib"] += self._held_mib
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.monotonic()
        broken, self._status = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            children = self._start(job, descriptors)
            reply = self._wait(job, children, started)
            if job["profile"] == "shell" or self._settings["mode"] == "none":  # the others cannot make processes
                self._drain()
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            reply["cpu_s"] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            reply["broken"] = _said(broken)
            artifact = None
            if job.get("collect") and not reply["timed_out"]:
                artifact = artifact_of(job["folder"], job["collect"], job["file_kib"] * 1024)
            return reply, [] if artifact is None else [artifact]
        finally:
            os.close(broken)
            os.close(self._status)
            if "folder" in job:
                remove_tree(job["folder"])

    def _start(self, job: Job, descriptors: list[int]) -> list[int]:
        """Fork the job's processes. The job ends with the first of them."""
        if job["op"] == "pair":
            # The candidate is forked before any process opens the tester's payload.
            (from_tester, to_candidate), (from_candidate, to_tester) = os.pipe(), os.pipe()
            half = len(descriptors) // 2
            candidate, tester, verdict = descriptors[:half], descriptors[half:-1], descriptors[-1]
            second = self._fork(job, python_child, [*candidate, from_tester, to_tester])
            first = self._fork(job, python_child, [*tester, from_candidate, to_candidate, verdict])
            for descriptor in (from_tester, to_candidate, from_candidate, to_tester):
                os.close(descriptor)
            return [first, second]
        return [self._fork(job, command_child if job["op"] == "command" else python_child, descriptors)]

    def _fork(self, job: Job, child: Any, descriptors: list[int]) -> int:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                os.dup2(self._status, STATUS, inheritable=False)
                child(self._lock, job, descriptors, parent)
            except BaseException as error:
                with contextlib.suppress(BaseException):  # fails once the lock is on: the error is then the program's
                    os.write(STATUS, f"{type(error).__name__}: {error}"[:1000].encode())
            finally:
                os._exit(125)
        return pid

    def _wait(self, job: Job, children: list[int], started: float) -> Job:
        """Wait until the first child ends or the time is up, and return the reply. ``late_s``: time for which the
        children were ready to run and had no core. It distinguishes a program that waits from a machine that is too
        busy."""
        deadline = started + job["wall_s"]
        poll = select.poll()
        pidfds = [os.pidfd_open(pid) for pid in children]
        pidfd = pidfds[0]
        poll.register(pidfd, select.POLLIN)
        poll.register(self._control, select.POLLHUP)
        longest = FILES_TICK_S if job["profile"] == "shell" else TICK_S
        late, over_quota, timed_out = 0.0, False, False
        try:
            while True:
                now = time.monotonic()
                tick = min(longest, max(0.0, deadline - now))
                events = dict(poll.poll(tick * 1000))
                woken = time.monotonic()
                if self._control.fileno() in events:  # nobody is waiting for the answer
                    self._drain()
                    os._exit(0)
                if pidfd in events:
                    break
                late += max(0.0, woken - now - tick - 0.01)
                if woken >= deadline:
                    queued = [queued_s(self._proc, child) for child in pidfds]
                    # A thread waits behind its siblings at most as long as they compute, which is not the machine's
                    # fault.
                    used = sum(computed for _, computed in queued)
                    late = max(0.0, max(late, *(waited for waited, _ in queued)) - used)
                    timed_out = True
                    break
                if job["profile"] == "shell":
                    size = folder_size(job["folder"], MAX_ENTRIES + job["num_entries"])
                    if size is None or size > job["quota_kib"] * 1024:
                        over_quota = True
                        break
        finally:
            for child in pidfds:
                os.close(child)
        for pid in children:
            end_group(pid)
        statuses = [os.waitpid(pid, 0)[1] for pid in children]
        return {
            "status": os.waitstatus_to_exitcode(statuses[0]),
            "timed_out": timed_out,
            "over_quota": over_quota,
            "wall_s": woken - started,
            "late_s": late,
        }

    def _drain(self) -> None:
        """End and reap every process that is left."""
        drain(has_pids=self._has_pids)


def _said(pipe: int) -> str:
    """Return the children's text on the status pipe, which is empty if the restrictions could be applied."""
    try:
        return os.read(pipe, 4096).decode(errors="replace")
    except BlockingIOError:
        return ""


def _guard(control: socket.socket) -> None:
    """Stay as the guardian, without a process namespace, and end the processes that a killed zygote leaves."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    guardian = os.getpid()
    pid = os.fork()
    if pid == 0:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != guardian:
            os._exit(0)
        signal.signal(signal.SIGTERM, _end)
        return
    control.close()
    os.waitpid(pid, 0)
    drain(has_pids=False)
    os._exit(0)


def _end(*_: object) -> None:
    drain(has_pids=False)
    os._exit(0)


def _preload(more: Sequence[str]) -> None:
    """Import the modules that programs import most. Others load when a program asks for them."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # this process forks
    for name in (
        "bisect", "collections", "copy", "dataclasses", "datetime", "decimal", "enum", "fractions", "functools",
        "heapq", "itertools", "math", "operator", "queue", "random", "re", "statistics", "string", "threading",
        "traceback", "typing", "codecs", "encodings.ascii", "encodings.latin_1", "encodings.idna", "numbers", *more,
    ):  # fmt: skip
        __import__(name)
    import _sitebuiltins

    for word in ("exit", "quit"):  # -S leaves them out
        setattr(builtins, word, _sitebuiltins.Quitter(word, "Ctrl-D (i.e. EOF)"))


def _address_space_mib(proc: int) -> int:
    return int(read_at(proc, "self/statm").split()[0]) * resource.getpagesize() >> 20


def main(descriptor: int) -> None:
    """Run the zygote. ``descriptor``: its end of the control socket."""
    control = socket.socket(fileno=descriptor)
    control.set_inheritable(False)
    received = receive(control)
    if received is None:
        return
    settings, (proc,) = received
    if not settings["pid_namespace"]:
        _guard(control)
    sys.path[:] = [path for path in sys.path if path not in ("", settings["library"])] + settings["packages"]
    os.environ["MPLCONFIGDIR"] = settings["scratch"]  # Matplotlib would leave a folder in /tmp
    if hasattr(sys, "set_int_max_str_digits"):  # answers may be longer; CPU time stays limited
        sys.set_int_max_str_digits(0)
    _preload(())
    before = _address_space_mib(proc)
    _preload(settings["imports"])
    role: type[Zygote] = Zygote
    if settings["sessions"]:
        from r1ray.sandbox.inside.session_host import SessionHost

        role = SessionHost
        with contextlib.suppress(OSError):  # if memory runs out, the kernel ends a session rather than the run
            write_at(proc, "self/oom_score_adj", "1000")
    role(control, settings, proc, _address_space_mib(proc) - before).serve()
    if settings["pid_namespace"]:
        drain(has_pids=True)
