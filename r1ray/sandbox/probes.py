"""The start-up self-test: known ways out of a sandbox, tried from inside. None of them may work."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from r1ray.errors import SandboxUnavailable
from r1ray.sandbox.job import Command, Limits
from r1ray.sandbox.languages import PATH

if TYPE_CHECKING:
    from r1ray.sandbox.pool import Sandbox
    from r1ray.sandbox.sessions import Sessions

SECRET = "r1ray-canary"
LIMITS = Limits(cpu_s=5.0, memory_mib=512, output_kib=64)

PYTHON_PROBES = """
import ctypes, os, signal, socket
libc = ctypes.CDLL(None, use_errno=True)

def attempt(name, function):
    try:
        if function() is not False:
            print("ESCAPED", name, flush=True)
    except (OSError, ValueError):
        pass

def forked():
    pid = os.fork()
    if pid == 0:
        os._exit(0)

def called(number, *arguments):
    return libc.syscall(number, *arguments) >= 0

def connected(kind):
    s = socket.socket(socket.AF_INET, kind)
    s.settimeout(1)
    s.connect(("127.0.0.1", @PORT@))
    s.send(b"x")

def sent(path):
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    a.sendto(b"x", path)

attempt("read a file outside", lambda: open("@CANARY@").read())
attempt("read /etc/passwd", lambda: open("/etc/passwd").read())
attempt("list a folder outside", lambda: os.listdir("@FOLDER@"))
attempt("write a file outside", lambda: open("@FOLDER@/planted", "w"))
attempt("write to /tmp", lambda: open("/tmp/planted", "w"))
attempt("chmod a file outside", lambda: os.chmod("@CANARY@", 0o777))
attempt("touch a file outside", lambda: os.utime("@CANARY@"))
attempt("rename a file outside", lambda: os.rename("@CANARY@", "@FOLDER@/moved"))
attempt("read another process", lambda: open("/proc/@VICTIM@/environ").read())
attempt("TCP", lambda: connected(socket.SOCK_STREAM))
attempt("UDP", lambda: connected(socket.SOCK_DGRAM))
attempt("a unix socket", lambda: socket.socket(socket.AF_UNIX))
attempt("a datagram to a path", lambda: sent("@FOLDER@/socket"))
attempt("fork", forked)
attempt("exec", lambda: os.execv("/bin/true", ["true"]))
attempt("signal another process", lambda: os.kill(@VICTIM@, signal.SIGKILL))
attempt("signal the parent", lambda: os.kill(os.getppid(), 0) if os.getppid() != 1 else False)
attempt("trace another process", lambda: called(101, 16, @VICTIM@, 0, 0))
attempt("a memfd", lambda: os.memfd_create("x"))
attempt("shared memory", lambda: called(29, 0, 4096, 0o1600))
attempt("a user namespace", lambda: called(272, 0x10000000))
attempt("io_uring", lambda: called(425, 8, 0))
attempt("bpf", lambda: called(321, 0, 0, 0))
attempt("a secret of the environment", lambda: "@SECRET@" in repr(dict(os.environ)))
attempt("inherited descriptors", lambda: any(os.fstat(fd) for fd in range(3, 6)))
print("done")
"""

SHELL_PROBES = """
try() { "$@" >/dev/null 2>&1 && echo "ESCAPED $*"; }
try cat @CANARY@
try cat /etc/passwd
try ls @FOLDER@
try cp /bin/true @FOLDER@/planted
try chmod 777 @CANARY@
try touch @CANARY@
try mv @CANARY@ @FOLDER@/moved
try cat /proc/@VICTIM@/environ
try kill -9 @VICTIM@
try unshare -Ur true
try mount -t tmpfs none .
case "$(env)" in *@SECRET@*) echo ESCAPED environment;; esac
echo done
"""


SESSION_PROBES = (
    PYTHON_PROBES.replace("range(3, 6)", "range(5, 8)")
    + """
neighbour = @NEIGHBOUR@
attempt("list a neighbour's files", lambda: os.listdir(neighbour["folder"]))
attempt("read a neighbour's file", lambda: open(neighbour["folder"] + "/file"))
attempt("write to a neighbour's file", lambda: open(neighbour["folder"] + "/file", "a"))
attempt("signal a neighbour", lambda: os.kill(neighbour["pid"], 0))
attempt("end a neighbour", lambda: os.kill(neighbour["pid"], signal.SIGKILL))
attempt("wake a neighbour", lambda: os.kill(neighbour["pid"], signal.SIGCONT))
attempt("read a neighbour's memory", lambda: open(f"/proc/{neighbour['pid']}/mem", "rb"))
attempt("give a file to others", lambda: os.chmod(os.getcwd(), 0o777))
attempt("link a file outside", lambda: os.symlink("@CANARY@", "link"))
print("done")
"""
)
NEIGHBOUR = """
import os
try:
    open("file", "w").close()
    folder = os.getcwd()
except OSError:  # sessions have no files here
    folder = "/nonexistent"
{"folder": folder, "pid": os.getpid()}
"""


def self_test(sandbox: Sandbox) -> None:
    """Raise SandboxUnavailable if a probe gets out or a harmless program does not run."""
    with _outside() as fill:
        for slot in sandbox.slots:
            source = _filled(PYTHON_PROBES, fill)
            _judge("python", slot.run_python({"mode": "program", "source": source}, LIMITS).stdout)
            shell = Command(
                argv=("sh", "probes.sh"),
                profile="shell",
                files={"probes.sh": _filled(SHELL_PROBES, fill).encode()},
                environment={"PATH": PATH},
            )
            _judge("shell", slot.run_command(shell, LIMITS)[0].stdout)


async def session_test(sessions: Sessions) -> None:
    """Run the test of :func:`self_test` in a session that has another session as neighbour."""
    neighbour, session = await sessions.open(), await sessions.open()
    try:
        with _outside() as fill:
            known = (await sessions.run(neighbour, NEIGHBOUR)).output
            cell = await sessions.run(session, _filled(SESSION_PROBES, fill | {"@NEIGHBOUR@": known.strip()}))
            _judge("session", cell.output.encode())
            if (await sessions.run(neighbour, "os.getpid()")).ended != "done":
                raise SandboxUnavailable("the sandbox does not hold here: a session ended its neighbour.")
    finally:
        await sessions.end(neighbour)
        await sessions.end(session)


@contextlib.contextmanager
def _outside() -> Iterator[dict[str, str]]:
    """Make the targets that probes try to reach, and yield them by their placeholders in the probes. Raises
    SandboxUnavailable if one of them has changed at the end."""
    environment = os.environ | {"R1RAY_PROBE_SECRET": SECRET}
    with (
        tempfile.TemporaryDirectory(prefix="r1ray-probe-") as name,
        socket.create_server(("127.0.0.1", 0)) as listener,
        subprocess.Popen(["/bin/sleep", "60"], env=environment) as victim,
    ):
        folder = Path(name)
        folder.chmod(0o777)
        canary = folder / "canary"
        canary.write_text(SECRET)
        canary.chmod(0o666)
        before = canary.stat()
        os.environ["R1RAY_PROBE_SECRET"] = SECRET
        try:
            yield {
                "@CANARY@": str(canary),
                "@FOLDER@": str(folder),
                "@PORT@": str(listener.getsockname()[1]),
                "@VICTIM@": str(victim.pid),
                "@SECRET@": SECRET,
            }
            alive = victim.poll() is None
        finally:
            del os.environ["R1RAY_PROBE_SECRET"]
            victim.kill()
        after = canary.stat() if canary.exists() else None
        untouched = after is not None and (after.st_mode, after.st_mtime_ns) == (before.st_mode, before.st_mtime_ns)
        if not alive or not untouched or os.listdir(folder) != ["canary"]:
            raise SandboxUnavailable(
                "the sandbox does not hold here: a probe changed a file or ended a process outside"
            )


def _filled(text: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(name, value)
    return text


def _judge(profile: str, printed: bytes) -> None:
    lines = printed.decode(errors="replace").splitlines()
    escaped = [line.removeprefix("ESCAPED ") for line in lines if line.startswith("ESCAPED")]
    if escaped:
        raise SandboxUnavailable(
            f"the sandbox does not hold here: from inside ({profile}) a program could {'; '.join(escaped)}."
        )
    if lines[-1:] != ["done"]:
        raise SandboxUnavailable(
            f"the sandbox does not work here: a harmless {profile} program did not run to its end."
        )
