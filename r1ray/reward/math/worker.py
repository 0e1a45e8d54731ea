"""Entry of the process that runs math-verify: ``python -m r1ray.reward.math.worker CONTROL_FD MEMORY_MIB``.

    owner <--- control (pid and channel of each child) --- stem: imports sympy once, forks, waits
      `------- channel (one request, one reply) ---------- child: judges until it is killed

The stem never judges, so no answer can harm it. When the owner kills a child, the next one is ready within
milliseconds. When the owner ends for any reason, the control socket closes, and the stem kills its child and ends.
Sockets keep message boundaries (SEQPACKET) and each child has a channel of its own, so that no data of a killed child
is read as the answer to another request.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import resource
import select
import signal
import socket
import sys

MAX_MESSAGE_BYTES = 65_536
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38


def _confine(memory_mib: int) -> None:
    """Set the limits of a child, which computes and answers but writes no file and starts no process."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_AS, (memory_mib << 20, memory_mib << 20))
    for limit in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC):
        resource.setrlimit(limit, (0, 0))


def _serve(channel: socket.socket) -> None:
    from r1ray.reward.math.judge import judge

    while request := channel.recv(MAX_MESSAGE_BYTES):
        message = json.loads(request)
        # All failures of sympy on an answer end here: memory, recursion, bugs. The owner decides about the score.
        try:
            reply = {"verdict": judge(message["reference"], message["answer"])}
        except MemoryError:
            reply = {"verdict": "memory"}
        except BaseException as error:
            reply = {"verdict": "different", "detail": type(error).__name__}
        channel.send(json.dumps(reply | {"id": message["id"]}).encode())


def _fork_child(control: socket.socket, memory_mib: int) -> int:
    """Start a child and hand its channel to the owner. The child never returns."""
    owners, own = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    stem = os.getpid()
    pid = os.fork()
    if pid == 0:
        status = 1
        with contextlib.suppress(BaseException):
            control.close()
            owners.close()
            _confine(memory_mib)
            if os.getppid() == stem:
                _serve(own)
            status = 0
        os._exit(status)
    own.close()
    with owners:
        socket.send_fds(control, [json.dumps({"pid": pid}).encode()], [owners.fileno()])
    return pid


def _wait(control: socket.socket, pid: int) -> bool:
    """Wait until the child ends (True) or the owner is gone (False; the child is killed)."""
    child = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(child, select.POLLIN)
        poll.register(control, 0)  # only its end matters, which is always reported
        ready = {descriptor for descriptor, _ in poll.poll()}
        is_owned = control.fileno() not in ready
        if not is_owned:
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return is_owned
    finally:
        os.close(child)


def main(control_fd: int, memory_mib: int) -> None:
    """Serve until the owner is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the owner handles Ctrl-C and then closes the socket
    control = socket.socket(fileno=control_fd)
    from r1ray.reward.math.judge import judge

    judge(r"\frac{1}{2}", "x^2+1")  # the first call builds parser tables and caches, which every child inherits
    judge(r"(1,2)", r"x\sqrt{2}=\{1,2\}")
    gc.freeze()  # pages that the collector does not touch stay shared with the children
    with contextlib.suppress(OSError):
        while _wait(control, _fork_child(control, memory_mib)):
            pass


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
