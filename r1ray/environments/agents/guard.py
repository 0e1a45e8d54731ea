"""Guard of one command: a small process between an environment worker and the command. It ends with the command, and
ends all processes that the command leaves.

    worker == socket ==> guard (in its walls) -- fork, exec --> the command, and whatever that starts

Orphans of the command become the guard's children (it is their subreaper, or the first process of its namespace), even
if they have a session or a group of their own. This module imports only the standard library,
:mod:`r1ray.sandbox.inside.descendants` and the Landlock library at the path in ``order["landlock"]``: no other part of
r1ray is visible to an isolated guard.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import sys
from typing import Any

from r1ray.sandbox.inside.descendants import drain

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 1, 4, 36
PR_SET_SECUREBITS, SECBIT_NOROOT, SECBIT_NOROOT_LOCKED, CAPABILITY_VERSION = 28, 1, 2, 0x20080522
PIECE = 1 << 16
TICK_MS = 500
"""Interval between searches for orphans that have ended."""
LIBC = ctypes.CDLL(None, use_errno=True)


def main(descriptor: int) -> None:
    """Carry out one order. ``descriptor`` is this process's end of the socket."""
    control = socket.socket(fileno=descriptor)
    control.set_inheritable(False)
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    LIBC.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)  # the command runs as the same user
    order = _received(control)
    try:
        _serve(control, order)
    finally:
        _drain()


def _serve(control: socket.socket, order: dict[str, Any]) -> None:
    if order["port"]:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.bind(("127.0.0.1", order["port"]))
        listener.listen(256)
        # The socket belongs to this network namespace, even if another process accepts its connections.
        socket.send_fds(control, [b"\n"], [listener.fileno()])
        listener.close()
    child, problem = _started(order)
    _tell(control, {"problem": problem})
    if problem:
        return
    status = _waited(control, child)
    _drain()
    with contextlib.suppress(OSError):
        _tell(control, {"status": status})


def _tell(control: socket.socket, answer: dict[str, Any]) -> None:
    control.sendall(json.dumps(answer).encode() + b"\n")


def _received(control: socket.socket) -> dict[str, Any]:
    """Return the worker's order. Ends this process if there is none."""
    data = b""
    while not data.endswith(b"\n"):
        piece = control.recv(PIECE)
        if not piece:
            os._exit(0)
        data += piece
    order: dict[str, Any] = json.loads(data)
    return order


def _started(order: dict[str, Any]) -> tuple[int, str]:
    """Start the command. Returns its process, and the reason why it could not be started; empty if it was."""
    said, says = os.pipe2(os.O_CLOEXEC)
    guard = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            _become(order, guard)
        except BaseException as error:
            os.write(says, f"{type(error).__name__}: {error}".encode("utf-8", "replace")[:4000])
        os._exit(127)
    os.close(says)
    with os.fdopen(said, "rb") as pipe:
        return child, pipe.read().decode("utf-8", "replace")


def _become(order: dict[str, Any], guard: int) -> None:
    os.setsid()
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != guard:
        os._exit(0)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # the interpreter ignores them, which exec would pass on
        signal.signal(number, signal.SIG_DFL)
    os.chdir(order["folder"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # standard output and standard error are inherited
    if order.get("landlock"):
        _restrict(order["landlock"])
    os.execve(order["command"][0], order["command"], order["environment"])


def _waited(control: socket.socket, child: int) -> int | None:
    """Return how the command ended (an exit code, or a negative signal number); None if the worker ended it, or is
    gone."""
    poll = select.poll()
    pidfd = os.pidfd_open(child)
    poll.register(pidfd, select.POLLIN)
    poll.register(control, select.POLLIN)
    try:
        while True:
            ready = dict(poll.poll(TICK_MS))
            if pidfd in ready:
                _, status = os.waitpid(child, 0)
                return os.waitstatus_to_exitcode(status)
            if control.fileno() in ready:
                return None
            _reap_others(child)
    finally:
        os.close(pidfd)


def _reap_others(child: int) -> None:
    """Reap orphans that have ended."""
    while True:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if found is None or found.si_pid == child:  # the command's own end is reported
            return
        os.waitpid(found.si_pid, 0)


def _drain() -> None:
    drain(has_pids=os.getpid() == 1)


def _restrict(rules: dict[str, Any]) -> None:
    """Apply Landlock: files by their paths, signals, and TCP connections to one port."""
    sys.path.insert(0, rules["library"])
    import landlockpy as landlock
    from landlockpy import AccessFS, AccessNet

    abi = landlock.abi_version()
    reads = AccessFS.READ_FILE | AccessFS.READ_DIR | AccessFS.EXECUTE
    device = AccessFS.READ_FILE | AccessFS.WRITE_FILE
    made = landlock.Ruleset(
        handled_fs=landlock.fs_for_abi(abi),
        handled_net=landlock.net_for_abi(abi) & ~AccessNet.BIND_TCP,
        scoped=landlock.scope_for_abi(abi),
        best_effort=False,
    )
    for path in rules["reads"]:
        made.allow_path(path, reads if os.path.isdir(path) else reads & ~AccessFS.READ_DIR)
    for path in rules["devices"]:
        made.allow_path(path, device)
    made.allow_path(rules["writes"], landlock.fs_for_abi(abi))
    if rules["port"] and abi >= 4:
        made.allow_port(rules["port"], AccessNet.CONNECT_TCP)
    made.restrict()
    if os.geteuid() == 0:
        _give_up_capabilities()


def _give_up_capabilities() -> None:
    """Remain root without its capabilities, which would allow reading other processes; Landlock does not remove
    them."""
    if LIBC.prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl PR_SET_SECUREBITS")
    header, nothing = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()
    if LIBC.capset(header, nothing) != 0:
        raise OSError(ctypes.get_errno(), "capset")
