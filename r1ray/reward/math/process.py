"""The owner's side of one killable process, which gives an answer or is killed within the deadline."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass

from r1ray.errors import InfrastructureError, MachineTooBusy
from r1ray.reward.math.worker import MAX_MESSAGE_BYTES

START_S = 60.0
"""Longest time to import sympy on a busy machine. It takes about a second on an idle one."""
STARVED_FACTOR = 10
"""Number of deadlines that a request may wait when it is repeated because it got hardly any processor time."""
MAX_REQUESTS = 5000
"""Number of requests after which a child is replaced, since sympy's caches only grow."""
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class ProcessorTimeExceeded(Exception):
    """The request used up its processor time."""


class ChildDied(Exception):
    """The child ended by itself: its memory limit, or a crash."""


class _Starved(Exception):
    """The deadline passed while the machine was busy with other processes."""


@dataclass(slots=True)
class _Child:
    pid: int
    channel: socket.socket
    num_requests: int = 0


def _processor_s(pid: int) -> float:
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
    except (OSError, IndexError, ValueError):
        return 0.0


class KillableProcess:
    """One long-lived process for math-verify. Only one thread at a time may ask; any thread may call ``close``."""

    def __init__(self, *, deadline_s: float, memory_mib: int) -> None:
        self._deadline_s, self._memory_mib = deadline_s, memory_mib
        self._child: _Child | None = None
        self._is_closed = False
        self._next_id = 0
        self._closing = threading.Lock()
        self._start()

    def _start(self) -> None:
        """Start the stem without waiting for it to be ready."""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as the process)
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        paths = [path if path else os.getcwd() for path in sys.path]
        environment = {"PYTHONPATH": os.pathsep.join(paths), "PATH": os.defpath, "LC_ALL": "C.UTF-8"}
        command = [sys.executable, "-P", "-m", "r1ray.reward.math.worker", str(theirs.fileno()), str(self._memory_mib)]
        try:
            with theirs:
                self._process = subprocess.Popen(
                    command, env=environment, pass_fds=(theirs.fileno(),), cwd="/", close_fds=True,
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._errors,
                )  # fmt: skip
        except OSError as error:
            self._control.close()
            self._errors.close()
            raise InfrastructureError(f"The process for math-verify cannot be started: {error}.") from error

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the stem and, if one is connected, of the child."""
        return (self._process.pid, *([self._child.pid] if self._child else []))

    def ask(self, reference: str, answer: str) -> str:
        """Return the child's verdict. Raises ProcessorTimeExceeded, ChildDied, InfrastructureError."""
        try:
            return self._ask_once(reference, answer, wall_s=self._deadline_s)
        except _Starved:
            pass
        try:
            return self._ask_once(reference, answer, wall_s=self._deadline_s * STARVED_FACTOR)
        except _Starved as error:
            raise MachineTooBusy(
                f"math-verify had no processor time for {self._deadline_s * STARVED_FACTOR:g} s: the machine is busy "
                f"with other processes. Give the reward workers cores of their own."
            ) from error

    def _ask_once(self, reference: str, answer: str, *, wall_s: float) -> str:
        child = self._connected()
        self._next_id += 1
        child.num_requests += 1
        message = json.dumps({"id": self._next_id, "reference": reference, "answer": answer}).encode()
        used_before, started = _processor_s(child.pid), time.monotonic()
        try:
            child.channel.send(message)
            reply = self._receive(child, used_before=used_before, started=started, wall_s=wall_s)
        except OSError as error:
            self._kill_child()
            raise ChildDied from error
        if not reply:
            self._kill_child()
            raise ChildDied
        found = json.loads(reply)
        if found["id"] != self._next_id:
            self._kill_child()
            raise ChildDied
        verdict = str(found["verdict"])
        if verdict == "memory":
            self._kill_child()
            raise ChildDied
        if child.num_requests >= MAX_REQUESTS:
            self._kill_child()
        return verdict

    def _receive(self, child: _Child, *, used_before: float, started: float, wall_s: float) -> bytes:
        """Return the reply. The child is killed when its processor time or the waiting time is over."""
        poll = select.poll()
        poll.register(child.channel, select.POLLIN)
        slice_s = self._deadline_s
        while True:
            if poll.poll(max(1.0, slice_s * 1000)):
                return child.channel.recv(MAX_MESSAGE_BYTES)
            used = _processor_s(child.pid) - used_before
            if used >= 0.7 * self._deadline_s:
                self._kill_child()
                raise ProcessorTimeExceeded
            if time.monotonic() - started >= wall_s:
                self._kill_child()
                raise _Starved
            slice_s = min(0.1, self._deadline_s)

    def _connected(self) -> _Child:
        """Return the child after the stem has handed it over. Starts a new stem if the old one has ended."""
        if self._is_closed:
            raise InfrastructureError("The math verifier is closed.")
        if self._child is not None:
            return self._child
        for attempt in range(2):
            try:
                self._control.settimeout(START_S)
                data, descriptors, _, _ = socket.recv_fds(self._control, 4096, 1)
            except OSError:
                data, descriptors = b"", []
            if data and descriptors:
                self._child = _Child(int(json.loads(data)["pid"]), socket.socket(fileno=descriptors[0]))
                return self._child
            detail = self._last_error()
            with self._closing:
                if self._is_closed:
                    raise InfrastructureError("The math verifier is closed.")
                self._end_stem()
                self._start()
            if attempt:
                break
        raise InfrastructureError(f"The process for math-verify does not start: {detail or 'no answer'}")

    def _last_error(self) -> str:
        with contextlib.suppress(OSError, ValueError):
            self._errors.seek(0)
            return self._errors.read().decode(errors="replace").strip()[-500:]
        return ""

    def _kill_child(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        # The pid still belongs to the child: the stem reaps it only after this channel saw it alive, and needs
        # milliseconds to fork again. Closing the channel also ends a child that is not in an endless computation.
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGKILL)
        child.channel.close()

    def _end_stem(self) -> None:
        self._kill_child()
        self._control.close()  # the stem kills its child and ends
        try:
            self._process.wait(0.5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def close(self) -> None:
        """Kill the stem and its child. Idempotent."""
        with self._closing:
            if self._is_closed:
                return
            self._is_closed = True
            self._end_stem()
