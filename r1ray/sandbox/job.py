"""What goes into the sandbox and what comes out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Ended = Literal["exited", "cpu", "wall", "memory", "output", "signal", "late"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one process may use."""

    cpu_s: float = 4.0
    memory_mib: int = 512
    output_kib: int = 4096
    """Of standard output, of standard error, and of any file it may write."""

    @property
    def wall_s(self) -> float:
        """Three times the CPU limit: a verdict on time is one on CPU time, the wall clock only ends what waits."""
        return 3 * self.cpu_s


@dataclass(frozen=True, slots=True)
class Run:
    """How one program ended."""

    ended: Ended
    """``exited``; ``cpu``, ``memory``, ``output``: over that limit; ``signal``: killed by another signal; ``wall``: it
    waited for something until the wall clock ended it; ``late``: the same, but this machine was too busy to tell."""
    exit_code: int
    """-N where signal N ended it."""
    stdout: bytes
    stderr: bytes
    cpu_s: float
    wall_s: float
    result: bytes = b""
    """What arrived on the channel beside standard output, where the program has one."""
    late_s: float = 0.0
    """Time for which it was ready to run and had no core, as far as that was looked at: where its time was up."""

    @property
    def is_clean(self) -> bool:
        """It ended by itself with exit code 0. That is never a pass by itself."""
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
    """What the runtime itself needs on top of the program's limit."""
    reads_own_maps: bool = False
    """It may read /proc/self/maps, and nothing else there."""
    file_kib: int | None = None
    """Largest file it may write; None: as much as its output."""
    num_entries: int = 0
    """Files and folders that it unpacks from what it is given: it may have so many more."""
