"""The supervisor's end of a session host, which starts and ends sessions."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
from dataclasses import dataclass

from r1ray.errors import InfrastructureError
from r1ray.sandbox.inside.wire import Job, send
from r1ray.sandbox.slot import Slot

KEEPS_SIZE = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
REQUEST_BYTES = 128 * 1024
"""Capacity of the pipe of requests. It holds a whole request, so that writing one never blocks."""
HOST_S = 60.0
"""Time within which a host answers, however busy the machine is. A host that has ended is noticed at once."""
MOST_THREADS = 1024
"""Limit on the threads of all sessions of one host, which belong to one user."""
FILES_OF_QUOTA = 4
"""Number of files of the largest size that fit into the folder of a session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLimits:
    """Limits of a session."""

    cpu_s: float = 4.0
    """Processor time of one cell."""
    wall_s: float = 10.0
    """Time of one cell, without the time in which it waited for a core."""
    longest_s: float = 60.0
    """Time of one cell, with the time in which it waited for a core. Beyond it the machine is too busy to tell how the
    cell would have ended."""
    total_cpu_s: float = 40.0
    """Processor time of all cells together."""
    memory_mib: int = 512
    output_kib: int = 32
    """Limit of one cell's standard output and standard error together."""
    file_kib: int = 4096
    """Limit of one file. All files of the session together may have four times that."""


@dataclass(frozen=True, slots=True)
class Started:
    """A session's process, its pipes, and the file that its cells print to."""

    pidfd: int
    requests: int
    answers: int
    output: int

    def close(self) -> None:
        for descriptor in (self.pidfd, self.requests, self.answers, self.output):
            os.close(descriptor)


class SessionSlot(Slot):
    """A slot that holds sessions. Sessions are started and ended by one thread at a time."""

    @property
    def is_alive(self) -> bool:
        """True while its process exists."""
        return self._zygote_pidfd >= 0 and not has_ended(self._zygote_pidfd)

    @property
    def has_files(self) -> bool:
        """True if sessions have folders, which only Landlock keeps apart."""
        return self.landlock_abi > 0 or self._settings.mode == "none"

    def start_session(self, name: str, limits: SessionLimits) -> Started:
        """Start a session. Its restrictions are applied when this returns. Raises InfrastructureError."""
        null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        output = output_file(limits.output_kib * 1024)
        (their_requests, requests), (answers, their_answers) = os.pipe(), os.pipe()
        back: list[int] = []
        try:
            fcntl.fcntl(requests, fcntl.F_SETPIPE_SZ, REQUEST_BYTES)
            job = self._job(name, limits)
            reply = self._ask(job, [null, output, output, their_requests, their_answers], HOST_S, back)
            if reply["broken"]:
                self.end_session(name)
                raise InfrastructureError(f"the restrictions of a session could not be applied: {reply['broken']}")
        except BaseException:
            for descriptor in (requests, answers, output, *back):
                os.close(descriptor)
            raise
        finally:
            for descriptor in (null, their_requests, their_answers):
                os.close(descriptor)
        for descriptor in (requests, answers):
            os.set_blocking(descriptor, False)
        return Started(back[0], requests, answers, output)

    def tell(self, op: str, name: str) -> None:
        """Tell the host that a session begins to compute (``go``) or rests (``rest``)."""
        with contextlib.suppress(OSError):  # if the host is gone, so is the session
            send(self._socket, {"op": op, "session": name}, [])

    def end_session(self, name: str) -> Job:
        """End a session and remove its folder. Raises InfrastructureError if the host is gone."""
        return self._ask({"op": "end", "session": name}, [], HOST_S)

    def _job(self, name: str, limits: SessionLimits) -> Job:
        profile = "session" if self.has_files else "python"
        return {
            "op": "open",
            "session": name,
            "profile": profile,
            "filter": profile,
            "cpu_s": limits.total_cpu_s,
            "memory_mib": limits.memory_mib,
            "memory_rlimit": "AS",
            "output_kib": limits.output_kib,
            "file_kib": max(limits.file_kib, limits.output_kib),
            "quota_kib": FILES_OF_QUOTA * limits.file_kib,
            "descriptors": 64,
            "processes": MOST_THREADS,
        }


def has_ended(pidfd: int) -> bool:
    """Return whether a process has ended."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def output_file(size: int) -> int:
    """Return a descriptor of a file in memory that keeps its size, whatever is written to it."""
    descriptor = os.memfd_create("output", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, size)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, KEEPS_SIZE)
    return descriptor
