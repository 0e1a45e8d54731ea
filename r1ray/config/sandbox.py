"""The sandbox that runs what a model writes."""

from __future__ import annotations

from dataclasses import dataclass

from r1ray.config.values import above, at_least, one_of

SANDBOX_MODES = ("auto", "bubblewrap", "landlock", "none")


@dataclass
class SandboxConfig:
    """The sandbox of one reward actor; there is one where prompts are checked by running code."""

    mode: str = "auto"
    """``bubblewrap`` (namespaces, Landlock and seccomp), ``landlock`` (the latter two), ``auto``: the first of them
    that works. ``none`` runs programs without any isolation and needs ``unsafe``."""
    unsafe: bool = False
    """Allows ``mode=none``, for data whose every program you trust. It says so at every start."""
    num_slots: int = 1
    """Programs that run at a time; 0: one for each core."""
    python: str | None = None
    """The interpreter for Python programs; None: the system's."""
    cpu_s: float = 4.0
    """CPU time of one test case, where the data do not say; the wall clock ends it at three times that."""
    total_cpu_s: float = 40.0
    """CPU time of all test cases of one response."""
    memory_mib: int = 512
    output_kib: int = 4096
    partial: bool = False
    """Whether the reward is the share of passed cases; else all have to pass."""

    def __post_init__(self) -> None:
        one_of("sandbox.mode", self.mode, SANDBOX_MODES)
        if self.mode == "none" and not self.unsafe:
            raise ValueError(
                "sandbox.mode=none runs what a model writes without any isolation: needs "
                "sandbox.unsafe=true to say that this is meant."
            )
        at_least("sandbox.num_slots", self.num_slots, 0)
        for key in ("cpu_s", "total_cpu_s"):
            above(f"sandbox.{key}", getattr(self, key), 0)
        at_least("sandbox.memory_mib", self.memory_mib, 32)
        at_least("sandbox.output_kib", self.output_kib, 1)
