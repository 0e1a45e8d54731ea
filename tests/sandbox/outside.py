"""The world outside the sandbox that hostile programs try to reach, and the look at it after each of them.

A case is ``{"id", "language", "code", "expect"}`` with optional kind (stdio, func, assert), stdin, stdout, entry,
calls, expected, tests, cpu_s. In its code @CANARY@, @CANARYDIR@, @PORT@, @ABSTRACT@, @USOCK@, @VICTIM@ and @ENVNAME@
are filled in.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from r1ray.checks import AssertCase, CallCase, CodeCase, CodeTests, StdioCase
from r1ray.errors import InfrastructureError, MachineTooBusy
from r1ray.reward.code import CodeGrader, failure_of
from r1ray.sandbox.job import Limits
from r1ray.sandbox.languages import LANGUAGES
from r1ray.sandbox.pool import Sandbox

SECRET = "THE-SECRET-OF-THE-CANARY"
LIMITS = Limits(cpu_s=20.0, memory_mib=512, output_kib=1024)
"""Time enough for a program that ends by itself, however busy the machine is."""
GRACE_S = 60.0
"""Time of a slot, after a program's own, in which it removes what the program leaves."""
SHORT_S = 1.0
"""Processor time of a case that its limits end."""
RESOURCES = {"timeout", "memory", "runtime_error", "output_limit"}


@dataclass
class Outside:
    """Canary file and folder, listeners, a victim process and a secret variable."""

    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="outside-")))

    def __post_init__(self) -> None:
        self.folder.chmod(0o755)
        self.canary = self.folder / "canary"
        self.canary.write_text(SECRET)
        self.canary.chmod(0o644)
        self.open_folder = self.folder / "open"
        self.open_folder.mkdir()
        self.open_folder.chmod(0o777)
        self.tcp = socket.create_server(("127.0.0.1", 0))
        port = self.tcp.getsockname()[1]
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", port))
        self.path_name, self.abstract_name = str(self.folder / "s"), f"outside-{os.getpid()}-{port}"
        self.listeners = [self.tcp, self.udp]
        for name in (self.path_name, "\0" + self.abstract_name):
            stream, datagram = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            stream.bind(name)
            stream.listen()
            datagram.bind(name + ".d")
            self.listeners += [stream, datagram]
        for listener in self.listeners:
            listener.setblocking(False)
        for path in (self.path_name, self.path_name + ".d"):
            Path(path).chmod(0o777)
        user: dict[str, Any] = {}
        self.victim = subprocess.Popen(["/bin/sleep", "100000"], **user)
        self.variable = "OUTSIDE_SECRET"
        os.environ[self.variable] = SECRET
        self._values = {
            "@CANARY@": str(self.canary),
            "@CANARYDIR@": str(self.open_folder),
            "@PORT@": str(port),
            "@ABSTRACT@": self.abstract_name,
            "@USOCK@": self.path_name,
            "@VICTIM@": str(self.victim.pid),
            "@ENVNAME@": self.variable,
        }
        self._before = self._stat()
        self._segments = set(shared_memory())

    def fill(self, text: str) -> str:
        for name, value in self._values.items():
            text = text.replace(name, value)
        return text

    def _stat(self) -> tuple[int, ...]:
        found = self.canary.stat()
        return found.st_mode, found.st_mtime_ns, found.st_size, found.st_uid, found.st_nlink

    def harm(self, sandbox: Sandbox) -> list[str]:
        """What is not as it was."""
        found = []
        if not self.canary.exists() or self._stat() != self._before or self.canary.read_text() != SECRET:
            found.append("the canary was touched")
        if os.listdir(self.open_folder):
            found.append(f"files were planted: {os.listdir(self.open_folder)}")
        if self.victim.poll() is not None or _state(self.victim.pid) == "T":
            found.append("the victim was ended or stopped")
        for listener in self.listeners:
            try:
                if listener.type == socket.SOCK_DGRAM:
                    listener.recv(1)
                else:
                    listener.accept()[0].close()
                found.append(f"{listener.getsockname()} was reached")
            except BlockingIOError:
                pass
        users = users_of(sandbox)
        if any(user in users for number, user in shared_memory().items() if number not in self._segments):
            found.append("shared memory is left")
        left = survivors(sandbox)
        if left:
            found.append(f"processes are left: {left}")
        return found

    def close(self) -> None:
        self.victim.kill()
        self.victim.wait()
        os.environ.pop(self.variable, None)
        for listener in self.listeners:
            listener.close()


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


def shared_memory() -> dict[int, int]:
    """Return the user who made it for each segment of this machine, by its number."""
    names, *rows = (line.split() for line in Path("/proc/sysvipc/shm").read_text().splitlines())
    return {int(row[names.index("shmid")]): int(row[names.index("cuid")]) for row in rows}


def tree_of(pid: int) -> list[int]:
    """Descendants of a process."""
    parents: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                fields = Path(f"/proc/{name}/stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(name))
    found, queue = [], [pid]
    while queue:
        children = parents.get(queue.pop(), [])
        found += children
        queue += children
    return found


def users_of(sandbox: Sandbox) -> set[int]:
    """Return the users that programs run as."""
    if sandbox.uid_base is None:
        return {os.geteuid()}
    return {sandbox.uid_base + slot.index for slot in sandbox.slots}


def survivors(sandbox: Sandbox) -> list[int]:
    """Processes below the idle slots beyond the zygotes themselves, and whatever else runs as a slot's user."""
    own: set[int] = set()
    below: set[int] = set()
    for slot in sandbox.slots:
        tree = {slot.process_pid, *tree_of(slot.process_pid)}
        below |= tree
        own |= {slot.process_pid, slot.zygote_pid}
        # bubblewrap stands as two processes above a zygote at most
        own |= {pid for pid in tree if slot.zygote_pid in tree_of(pid)}
    if sandbox.uid_base is not None:
        uids = users_of(sandbox)
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    if os.stat(f"/proc/{name}").st_uid in uids and _state(int(name)) != "Z":
                        below.add(int(name))
                except OSError:
                    continue
        own |= {pid for slot in sandbox.slots for pid in tree_of(slot.process_pid) if pid in own}
    return sorted(below - own)


def cases_of(row: dict[str, Any]) -> tuple[CodeCase, ...]:
    if row.get("kind") == "func":
        pairs = zip(row["calls"], row["expected"], strict=True)
        return tuple(CallCase(json.dumps(call), json.dumps(expected)) for call, expected in pairs)
    if row.get("kind") == "assert":
        return (AssertCase(row["tests"]),)
    return (StdioCase(row.get("stdin", ""), row.get("stdout", "")),)


def tests_of(row: dict[str, Any]) -> CodeTests:
    return CodeTests(language=row["language"], cases=cases_of(row), entry=row.get("entry"))


def complaints(row: dict[str, Any], sandbox: Sandbox, outside: Outside) -> list[str]:
    """Return what is wrong with how the sandbox deals with one case; empty where it holds, and judges it as expected.

    Raises MachineTooBusy where it holds, and other processes leave the case too little time to be judged.
    """
    too_busy: MachineTooBusy | None = None
    found: list[str] = []
    try:
        found += _misjudged(row, sandbox, outside)
    except MachineTooBusy as error:
        too_busy = error
    except InfrastructureError as error:
        found.append(f"infrastructure error: {error}")
    found += outside.harm(sandbox)
    for _ in sandbox.slots:
        if sandbox.run_program("python", "print(6*7)", LIMITS).stdout != b"42\n":
            found.append("the slot no longer runs programs")
    if too_busy is not None and not found:
        raise too_busy
    return found


def _misjudged(row: dict[str, Any], sandbox: Sandbox, outside: Outside) -> list[str]:
    expect, code = row["expect"], outside.fill(row["code"])
    cpu_s = row.get("cpu_s", SHORT_S if expect in ("timeout", "contained") else LIMITS.cpu_s)
    limits = replace(LIMITS, cpu_s=cpu_s)
    if expect in ("pass", "reject"):
        score = CodeGrader(sandbox, limits=limits).score(tests_of(row), f"```{row['language']}\n{code}\n```")
        return [] if (score.value == 1.0) == (expect == "pass") else [f"{score.label}: {score.detail}"]
    found = []
    if LANGUAGES[row["language"]].compile and expect in ("denied", "timeout", "memory", "output_limit"):
        made = sandbox.compile(row["language"], code)
        found += [] if made.artifact else [f"it does not compile: {made.run and made.run.stderr[-300:]!r}"]
    run = sandbox.run_program(row["language"], code, limits, stdin=row.get("stdin", "").encode())
    if any(line.startswith(b"ESCAPED") for line in run.stdout.splitlines()):
        found.append(f"escaped: {run.stdout[:300]!r}")
    if SECRET.encode() in run.stdout + run.stderr:
        found.append("the secret was printed")
    verdict = _verdict_of(row, run)
    allowed = RESOURCES | {expect} if expect in RESOURCES else {expect}
    held_back = expect == "memory" and b"DENIED" in run.stdout  # it was refused the memory, and noticed
    if expect not in ("denied", "contained") and verdict not in allowed and not held_back:
        found.append(f"{verdict}, not {expect}: {run.stdout[:100]!r} {run.stderr[-200:]!r}")
    return found


def _verdict_of(row: dict[str, Any], run: Any) -> str:
    """A verdict for a run without expected output; a compiler's run is one of its own."""
    if LANGUAGES[row["language"]].compile is not None and row["expect"] == "compile_error":
        return "compile_error" if not run.is_clean else "compiled"
    if run.is_clean:
        return "exited"
    return failure_of(run)[0]
