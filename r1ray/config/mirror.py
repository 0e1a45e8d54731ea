"""Copies of a run folder in an object store."""

from __future__ import annotations

from dataclasses import dataclass

from r1ray.config.values import seconds


@dataclass
class MirrorConfig:
    """Copying of the run folder if ``output_dir`` is an address of an object store. The run works in
    ``cluster.scratch_dir``, and a process of its own copies what has changed."""

    every_s: float = 30.0
    """Time between two copies. If the node is lost, so is what came after the last one. Unit: seconds."""
    end_s: float = 300.0
    """Longest time for which the end of a run waits for a store that takes nothing. What is missing then is copied when
    the same command is run again on this node. Unit: seconds."""

    def __post_init__(self) -> None:
        seconds("mirror.every_s", self.every_s)
        seconds("mirror.end_s", self.end_s)
