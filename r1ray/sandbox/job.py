"""Inputs and results of the sandbox."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Ended = Literal["exited", "cpu", "wall", "memory", "output", "signal", "late"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one process."""

    cpu_s: float = 4.0
    memory_mib: int = 512
    output_kib: int = 4096
    """Limit of standard output, of standard error, and of any file that the process may write, each."""

    @property
    def wall_s(self) -> float:
        """Three times the CPU limit. CPU time decides whether a program is too slow; the wall clock only ends programs
        that wait."""
        return 3 * self.cpu_s


@dataclass(frozen=True, slots=True)
class Run:
    """The end of one program, with its outputs."""

    ended: Ended
    """``exited``; ``cpu``, ``memory``, ``output``: over that limit; ``signal``: killed by another signal; ``wall``: it
    waited for something until the wall clock ended it; ``late``: the wall clock ended it, but this machine was too busy
    to tell why."""
    exit_code: int
    """-N if signal N ended it."""
    stdout: bytes
    stderr: bytes
    cpu_s: float
    wall_s: float
    result: bytes = b""
    """Content of the channel beside standard output, if the program has one."""
    late_s: float = 0.0
    """Time for which it was ready to run and had no core. It is measured only for a program whose time was up."""

    @property
    def is_clean(self) -> bool:
        """True if it ended by itself with exit code 0, which alone is never a pass."""
        return self.ended == "exited" and self.exit_code == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program that is executed rather than interpreted by the zygote's own Python."""

    argv: tuple[str, ...]
    """``{dir}`` stands for the job's scratch folder."""
    profile: Literal["native", "shell"]
    """``native``: one process, threads, a read-only folder. ``shell``: processes and a writable folder."""
    files: dict[str, bytes | int] = field(default_factory=dict)
    """Name in the scratch folder to its content, or to a memfd that holds it."""
    environment: dict[str, str] = field(default_factory=dict)
    collect: str | None = None
    """File to bring back; a pattern with ``*`` brings the matches back as one zip file."""
    memory_rlimit: Literal["AS", "DATA"] = "AS"
    """DATA for runtimes that reserve much more address space than they use (Java, Node)."""
    memory_overhead_mib: int = 0
    """Memory that the runtime itself needs on top of the program's limit."""
    reads_own_maps: bool = False
    """True if it may read /proc/self/maps, and nothing else in /proc."""
    file_kib: int | None = None
    """Largest file that it may write; None: the limit of its output."""
    num_entries: int = 0
    """Number of files and folders that it unpacks from its input. Its limit of files is raised by this number."""
