"""Several machines in one, for tests: each has an address, a host name, /etc/hosts, processes and HOME of its own.

    machine --eth0 10.77.0.N-- bridge --eth0-- machine        nat0 192.168.77.2 on every one of them

Namespaces of the kernel, joined by a bridge that is in a namespace too: nothing of the host's networking is touched.
As on many real machines, the host name stands for 127.0.1.1, and the default route leaves by an interface that the
other machines do not reach: who guesses an address by either gets a wrong one. Files are shared, as on a cluster with
shared storage. A machine ends with the process that is its init, and that one with the test's process, however it ends.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from tests.tools import first_problem

NAMESPACES = ("unshare", "nsenter", "setpriv", "ip", "root")
"""The tools that it takes."""
DEADLINE_S = 60.0


class NotPermitted(Exception):
    """This machine does not let us make namespaces; says why."""


class Network:
    """A bridge, and the machines at it."""

    def __init__(self) -> None:
        """Raises NotPermitted."""
        if problem := first_problem(NAMESPACES):
            raise NotPermitted(problem)
        # Short: the path of a Unix socket has at most 107 bytes, and Ray's are far down.
        self.folder = Path(tempfile.mkdtemp(prefix="r1-", dir="/tmp"))
        self._holders: list[subprocess.Popen[bytes]] = []
        self.machines: list[Machine] = []
        try:
            self._switch = self._hold("--net", "--pid")  # its own processes, so that all of them end with it
            _do(
                [
                    "nsenter",
                    f"--net=/proc/{self._switch}/ns/net",
                    "sh",
                    "-ec",
                    "ip link add br0 type bridge\nip link set br0 up",
                ]
            )
        except BaseException:
            self.close()
            raise

    def _hold(self, *namespaces: str) -> int:
        """Keeps namespaces open; returns the id of the process that does."""
        forks = ["--fork", "--kill-child"]
        # A shell, which also reaps the processes that lose their parents.
        command = [
            "setpriv",
            "--pdeathsig",
            "KILL",
            "unshare",
            *namespaces,
            *forks,
            "bash",
            "-c",
            "sleep infinity & wait",
        ]
        holder = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self._holders.append(holder)
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            if holder.poll() is not None:
                assert holder.stderr is not None
                raise NotPermitted(holder.stderr.read().decode().strip())
            children = psutil.Process(holder.pid).children()
            if children and children[0].name() == "bash":
                return children[0].pid
            time.sleep(0.02)
        raise NotPermitted("namespaces were not there in time")

    def machine(self, name: str) -> Machine:
        """Another one; its address is ``10.77.0.`` and its number, from 1."""
        number = len(self.machines) + 1
        init = self._hold("--net", "--mount", "--uts", "--pid", "--mount-proc")
        folder = self.folder / name
        for part in ("home", "tmp"):
            (folder / part).mkdir(parents=True)
        (folder / "hosts").touch()
        (folder / "resolv.conf").touch()  # no name server: whatever is asked is answered at once
        port = f"port{number}"
        _do(
            [
                *("nsenter", f"--net=/proc/{self._switch}/ns/net", "sh", "-ec"),
                f"ip link add {port} master br0 type veth peer name eth0 netns {init}\nip link set {port} up",
            ]
        )
        machine = Machine(name, f"10.77.0.{number}", folder, init)
        script = f"""
            hostname {name}
            for file in hosts resolv.conf; do mount --bind {shlex.quote(str(folder))}/$file /etc/$file; done
            ip link add nat0 type veth peer name nat1
            ip addr add {machine.address}/24 dev eth0
            ip addr add 192.168.77.2/24 dev nat0
            for link in lo eth0 nat0 nat1; do ip link set $link up; done
            ip route add default dev nat0
        """
        _do([*machine.enter, "sh", "-ec", script])
        self.machines.append(machine)
        for each in self.machines:  # written in place: the file is mounted
            names = [f"{'127.0.1.1' if each is other else other.address} {other.name}" for other in self.machines]
            (each.folder / "hosts").write_text("\n".join(["127.0.0.1 localhost", *names, ""]))
        return machine

    def cut_off(self, machine: Machine) -> None:
        """Pull a machine's plug out of the bridge: it goes on, and reaches nobody."""
        port = f"port{self.machines.index(machine) + 1}"
        _do(["nsenter", f"--net=/proc/{self._switch}/ns/net", "ip", "link", "set", port, "down"])

    def close(self) -> None:
        """End every machine, with all that runs there."""
        for holder in reversed(self._holders):
            holder.kill()
            holder.wait(timeout=DEADLINE_S)
            if holder.stderr is not None:
                holder.stderr.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Machine:
    """One of them; made by :meth:`Network.machine`."""

    def __init__(self, name: str, address: str, folder: Path, init: int) -> None:
        self.name, self.address, self.folder, self._init = name, address, folder, init
        self.enter = ["nsenter", "--target", str(init), "--net", "--mount", "--uts", "--pid", "--"]

    def start(self, *command: str, cwd: Path, env: dict[str, str], **options: Any) -> subprocess.Popen[str]:
        """A command there, in a process group of its own."""
        own = {"HOME": str(self.folder / "home"), "TMPDIR": str(self.folder / "tmp")}
        return subprocess.Popen(
            [*self.enter, "env", "-C", str(cwd), *command], env=env | own, text=True, start_new_session=True, **options
        )

    def kill(self) -> None:
        """As if it lost its power."""
        os.kill(self._init, signal.SIGKILL)


def _do(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    if done.returncode:
        raise NotPermitted(done.stderr.strip())
