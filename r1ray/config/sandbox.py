"""The sandbox that runs what a model writes."""

from __future__ import annotations

from dataclasses import dataclass, field

from r1ray.config.values import MAX_THREADS, at_least, between, one_of, seconds

SANDBOX_MODES = ("auto", "bubblewrap", "landlock", "none")


@dataclass
class SandboxConfig:
    """The sandbox of a reward actor, in which the programs of a model run."""

    mode: str = "auto"
    """Isolation of programs: ``auto``, ``bubblewrap``, ``landlock`` or ``none``. ``bubblewrap``: namespaces, Landlock
    and seccomp. ``landlock``: the latter two. ``auto``: the first of them that works. ``none``: no isolation at all,
    which needs ``unsafe``."""
    unsafe: bool = False
    """Allow ``mode=none``, for data whose every program you trust. A warning at every start says so."""
    num_slots: int = 1
    """Programs that one reward actor runs at a time. 0: one for each core, which is what ``r1ray eval`` and ``r1ray
    score`` start from."""
    python: str | None = None
    """Interpreter of Python programs. null: the system's."""
    packages: list[str] = field(default_factory=list)
    """Packages beside the standard library that Python programs may import, as ``[numpy]``, each with what it requires;
    taken from the environment of r1ray on the machine of the reward actor."""
    cpu_s: float = 4.0
    """CPU time of one test case, unless the data say otherwise. The wall clock ends a test case at three times that.
    Unit: seconds."""
    total_cpu_s: float = 40.0
    """CPU time of all test cases of one response together. Unit: seconds."""
    memory_mib: int = 512
    """Memory of one program, unless the data say otherwise. Unit: MiB."""
    output_kib: int = 4096
    """Largest output of one program, and largest file that it writes. Unit: KiB."""
    partial: bool = False
    """Give the share of passed test cases as the reward. Otherwise it is 1 if all pass, and 0 if one fails."""

    def __post_init__(self) -> None:
        one_of("sandbox.mode", self.mode, SANDBOX_MODES)
        if self.mode == "none" and not self.unsafe:
            raise ValueError(
                "sandbox.mode=none runs what a model writes without any isolation: needs "
                "sandbox.unsafe=true to say that this is meant."
            )
        between("sandbox.num_slots", self.num_slots, 0, MAX_THREADS)
        for key in ("cpu_s", "total_cpu_s"):
            seconds(f"sandbox.{key}", getattr(self, key))
        at_least("sandbox.memory_mib", self.memory_mib, 32)
        at_least("sandbox.output_kib", self.output_kib, 1)
