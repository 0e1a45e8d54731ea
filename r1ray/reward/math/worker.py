"""Entry of the process that runs math-verify: ``python -m r1ray.reward.math.worker CONTROL_FD MEMORY_MIB``.

    owner <--- control (pid and channel of each child) --- stem: imports sympy once, forks, waits
      `------- channel (one request, one reply) ---------- child: judges until it is killed

The stem never judges, so it stays well whatever an answer does; the owner kills a child and the next one is there
within milliseconds. When the owner goes away, in whatever way, the control socket closes: the stem kills its child and
ends. Sockets keep message boundaries (SEQPACKET) and each child has a channel of its own, so that nothing of a killed
child is ever read as an answer to somebody else.
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
    """Limits of a child: it computes and answers, it writes no file and starts no process."""
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
        # Whatever an answer does to sympy ends here: memory, recursion, bugs. The owner decides what it means.
        try:
            reply = {"verdict": judge(message["reference"], message["answer"])}
        except MemoryError:
            reply = {"verdict": "memory"}
        except BaseException as error:
            reply = {"verdict": "different", "detail": type(error).__name__}
        channel.send(json.dumps(reply | {"id": message["id"]}).encode())


def _fork_child(control: socket.socket, memory_mib: int) -> int:
    """Starts a child and hands its channel to the owner; the child never returns."""
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
    """Until the child ends: True; until the owner is gone: False, the child killed."""
    child = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(child, select.POLLIN)
        poll.register(control, 0)  # only its end is of interest, which is always reported
        ready = {descriptor for descriptor, _ in poll.poll()}
        is_owned = control.fileno() not in ready
        if not is_owned:
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return is_owned
    finally:
        os.close(child)


def main(control_fd: int, memory_mib: int) -> None:
    """Serves until the owner is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the owner's business, which then closes the socket
    control = socket.socket(fileno=control_fd)
    from r1ray.reward.math.judge import judge

    judge(r"\frac{1}{2}", "x^2+1")  # the first call builds parser tables and caches: every child inherits them
    judge(r"(1,2)", r"x\sqrt{2}=\{1,2\}")
    gc.freeze()  # pages that the collector does not touch stay shared with the children
    with contextlib.suppress(OSError):
        while _wait(control, _fork_child(control, memory_mib)):
            pass


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
