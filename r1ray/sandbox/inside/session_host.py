"""The zygote of sessions: many children that live on, each with a folder of its own.

    supervisor == control socket ==> session host -- fork --> one locked-down child for each session
              `==================== the pipes of the session ======================^

It starts and ends sessions and checks the sizes of their folders. Cells and outputs do not pass through it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from dataclasses import dataclass

from r1ray.sandbox.inside.command_child import folder_size, remove_tree
from r1ray.sandbox.inside.descendants import end_group
from r1ray.sandbox.inside.session_child import session_child
from r1ray.sandbox.inside.wire import Job, read_all, receive, send
from r1ray.sandbox.inside.zygote import MAX_ENTRIES, Zygote

TICK_S = 0.05
"""Time between two checks of the folders of sessions that compute."""


@dataclass
class Held:
    """A session that was started and has not yet been ended."""

    pid: int
    folder: str | None
    quota_bytes: int
    computes: bool = True
    is_over_quota: bool = False


class SessionHost(Zygote):
    """Serves requests until the supervisor's end of the socket is closed."""

    def __init__(self, control: socket.socket, settings: Job, proc: int, held_mib: int) -> None:
        super().__init__(control, settings, proc, held_mib)
        self._held: dict[str, Held] = {}
        self._removers: list[int] = []

    def serve(self) -> None:
        """See :meth:`Zygote.serve`. ``rest`` and ``go`` have no answer."""
        send(self._control, {"ready": True, "landlock": self._lock.abi}, [])
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        looked = time.monotonic()
        while True:
            computing = [each for each in self._held.values() if each.computes and each.folder]
            if poll.poll(TICK_S * 1000 if computing or self._removers else None):
                received = receive(self._control)
                if received is None:
                    return
                self._answer(*received)
            if time.monotonic() - looked >= TICK_S:
                for each in computing:
                    self._look(each)
                looked = time.monotonic()
            self._removers = [pid for pid in self._removers if not os.waitpid(pid, os.WNOHANG)[0]]

    def _answer(self, job: Job, descriptors: list[int]) -> None:
        if job["op"] == "open":
            try:
                pid, broken = self._open(job, descriptors)
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)
            pidfd = os.pidfd_open(pid)
            send(self._control, {"broken": broken}, [pidfd])
            os.close(pidfd)
        elif job["op"] == "end":
            send(self._control, self._end(self._held.pop(job["session"])), [])
        elif (held := self._held.get(job["session"])) is not None:
            held.computes = job["op"] == "go"
            self._look(held)

    def _open(self, job: Job, descriptors: list[int]) -> tuple[int, str]:
        """Fork a session. Returns its process number once its restrictions are applied, and the error if they could
        not be."""
        job["memory_mib"] += self._held_mib
        job["folder"] = None
        if job["profile"] == "session":  # without Landlock sessions could see each other's files, so they have none
            job["folder"] = os.path.join(self._scratch, job["session"])
            os.mkdir(job["folder"], 0o700)
        if not self._own_ids:
            job["processes"] = None
        broken, self._status = os.pipe2(os.O_CLOEXEC)
        try:
            pid = self._fork(job, session_child, descriptors)
        finally:
            os.close(self._status)
        self._held[job["session"]] = Held(pid, job["folder"], job["quota_kib"] * 1024)
        return pid, read_all(broken).decode(errors="replace")

    def _look(self, held: Held) -> None:
        """End the session if its files are too many or too large."""
        if held.folder is not None and not held.is_over_quota:
            size = folder_size(held.folder, MAX_ENTRIES)
            if size is None or size > held.quota_bytes:
                held.is_over_quota = True
                with contextlib.suppress(ProcessLookupError):
                    os.kill(held.pid, signal.SIGKILL)

    def _end(self, held: Held) -> Job:
        end_group(held.pid)
        _, status = os.waitpid(held.pid, 0)
        if held.folder is not None:
            self._remove(held.folder)
        return {"status": os.waitstatus_to_exitcode(status), "is_over_quota": held.is_over_quota}

    def _remove(self, folder: str) -> None:
        """Remove a folder, without making other sessions wait: a program may have made so many files that this takes
        seconds."""
        with contextlib.suppress(OSError):
            os.rmdir(folder)
            return
        pid = os.fork()
        if pid == 0:
            try:
                self._control.close()
                remove_tree(folder)
            finally:
                os._exit(0)
        self._removers.append(pid)
