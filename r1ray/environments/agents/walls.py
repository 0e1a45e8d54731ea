"""Walls around an agent's command: what it sees of the machine, and where it can connect.

bubblewrap   namespaces of its own: its folder, the system's programs and those of its command, and no network but
             a port of its loopback, which leads to the endpoint alone
landlock     the same files, and TCP to the endpoint's port alone; other programs are seen and not reached
none         a process group of the machine
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from r1ray.sandbox.home import choose_mode, find_python, may_mount_proc
from r1ray.sandbox.slot import Mode, as_they_are

INSIDE = "/agent"
"""Path of a trajectory's folder inside bubblewrap."""
PORT = 8713
"""Port of the endpoint on the loopback of a network of its own, where nobody else is."""
GUARD_INSIDE = "/r1ray-guard"
"""Folder that a guard imports r1ray from inside bubblewrap."""
LIBRARY = Path(__file__).resolve().parents[3]
"""That folder outside."""
OF_GUARD = ("r1ray/environments/agents/guard.py", "r1ray/sandbox/inside/descendants.py")
"""All that bubblewrap shows of it."""
SYSTEM = ("/usr", "/bin", "/lib", "/lib64", "/sbin", "/opt")
CONFIGURATION = (
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/debian_version",
    "/etc/group",
    "/etc/hosts",
    "/etc/java-17-openjdk",
    "/etc/java-21-openjdk",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/locale.alias",
    "/etc/localtime",
    "/etc/magic",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/pki",
    "/etc/profile",
    "/etc/protocols",
    "/etc/services",
    "/etc/ssl",
    "/etc/timezone",
)
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty")


@dataclass(frozen=True, slots=True, kw_only=True)
class Walls:
    """One kind of walls."""

    mode: Mode = "none"
    reads: tuple[str, ...] = ()
    """Files and folders that the command reads, beside the system's."""
    may_mount_proc: bool = False
    port: int = 0
    """Port of the endpoint; 0: none is reached."""

    def base_url(self, outside: str) -> str:
        """Return the address by which the command knows the endpoint."""
        if not self.has_own_network:
            return outside
        return urlunsplit(urlsplit(outside)._replace(netloc=f"127.0.0.1:{PORT}"))

    @property
    def has_own_network(self) -> bool:
        return self.mode == "bubblewrap"

    @property
    def num_own(self) -> int:
        """Return how many processes are between a worker and a command: a guard, and what puts it into the walls."""
        return 2 if self.mode == "bubblewrap" else 1

    def inside(self, path: Path | str) -> str:
        """Return the path by which the command knows the folder of its trajectory."""
        return INSIDE if self.mode == "bubblewrap" else str(path)

    def guard(self, folder: Path) -> tuple[str, str, list[str]]:
        """Return the interpreter of a guard (empty: this process's own), the folder that it imports r1ray from, and the
        command that puts it into the walls."""
        if self.mode != "bubblewrap":
            return "", str(LIBRARY), []
        python = find_python()
        return python, GUARD_INSIDE, self._bubblewrap(folder, python)

    def landlock(self, folder: Path) -> dict[str, Any] | None:
        """Return what the guard restricts itself to by Landlock; None where it does not."""
        if self.mode != "landlock":
            return None
        reads = (*SYSTEM, *CONFIGURATION, "/proc", *self.reads)
        return {
            "reads": [path for path in reads if os.path.exists(path)],
            "devices": [path for path in DEVICES if os.path.exists(path)],
            "writes": str(folder),
            "port": self.port,
            "library": str(Path(str(importlib.import_module("landlockpy").__file__)).parents[1]),
        }

    def _bubblewrap(self, folder: Path, python: str) -> list[str]:
        words = ["bwrap", "--unshare-all", "--as-pid-1", "--die-with-parent", "--cap-drop", "ALL", "--clearenv"]
        words += ["--new-session", "--bind", str(folder / "tmp"), "/tmp", "--dev", "/dev"]
        words += as_they_are(*SYSTEM)
        for path in (*CONFIGURATION, *_trees(Path(python)), *self.reads):
            words += ["--ro-bind-try", path, path]
        for name in OF_GUARD:
            words += ["--ro-bind", f"{LIBRARY}/{name}", f"{GUARD_INSIDE}/{name}"]
        words += ["--bind", str(folder), INSIDE]
        return [*words, *(["--proc", "/proc"] if self.may_mount_proc else []), "--remount-ro", "/"]


def walls_of(mode: str, reads: Sequence[str]) -> Walls:
    """Return walls of a mode of ``sandbox.mode``. Raises SandboxUnavailable."""
    chosen = choose_mode(mode)
    return Walls(mode=chosen, reads=_outermost(reads), may_mount_proc=may_mount_proc(chosen))


def _outermost(paths: Sequence[str]) -> tuple[str, ...]:
    """Return paths without those below another one: bubblewrap binds nothing below what it has bound."""
    found: list[str] = []
    for path in sorted(set(paths), key=len):
        if not any(Path(path).is_relative_to(above) for above in found):
            found.append(path)
    return tuple(found)


def needed_by(program: str) -> list[str]:
    """Return the files and folders that a program needs beside the system's: itself, and its virtual environment with
    that one's interpreter, or the tree that it was installed in."""
    interpreter = interpreter_of(program)
    return [program, *_trees(Path(program)), *(_trees(Path(interpreter)) if interpreter else [])]


def interpreter_of(program: str) -> str:
    """Return the interpreter that the first line of a script names; empty where it is no script."""
    with open(program, "rb") as file:
        first = file.readline(256)
    words = first[2:].split() if first.startswith(b"#!") else []
    return os.fsdecode(words[0]) if words else ""


def _trees(program: Path) -> list[str]:
    """Return the trees around a program, and around whatever it is a link to."""
    found: list[str] = []
    for place in (program, *_links(program)):
        found.append(str(place))
        root = place.parent.parent
        is_tree = place.parent.name == "bin" and (root / "lib").is_dir() and root not in (Path("/"), Path.home())
        if is_tree:
            found.append(str(root))
        settings = root / "pyvenv.cfg"
        if is_tree and settings.is_file():
            home = [line.partition("=")[2].strip() for line in settings.read_text().splitlines() if "home" in line[:5]]
            found += [str(Path(bin_folder).parent) for bin_folder in home if bin_folder]
    return [path for path in found if not any(Path(path).is_relative_to(tree) for tree in SYSTEM)]


def _links(program: Path) -> list[Path]:
    links: list[Path] = []
    while program.is_symlink() and len(links) < 20:
        program = Path(os.path.normpath(program.parent / os.readlink(program)))
        links.append(program)
    return links
