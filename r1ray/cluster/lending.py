"""Trajectories on their way to the process that needs them: with the call, or by id from the worker that holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import ray
from ray.exceptions import RayActorError

from r1ray.cluster.host import Handle
from r1ray.types import Trajectory


@dataclass(frozen=True, slots=True)
class Held:
    """Trajectories that travel with the call that needs them."""

    trajectories: Mapping[str, Trajectory]

    def read(self) -> Mapping[str, Trajectory]:
        return self.trajectories


@dataclass(frozen=True, slots=True)
class Remote:
    """Trajectories that are read from the group workers that hold them, by the process that needs them."""

    wanted: Sequence[tuple[Handle, str, Sequence[str]]]
    """A worker, its incarnation, and ids."""
    deadline_s: float

    def read(self) -> Mapping[str, Trajectory]:
        """Return what is there; what a worker took with it is left out."""
        calls = [(ids, worker.read.remote(incarnation, ids)) for worker, incarnation, ids in self.wanted]
        found: dict[str, Trajectory] = {}
        for ids, call in calls:
            try:
                read = ray.get(call, timeout=self.deadline_s)
            except RayActorError:
                continue
            found |= {name: each for name, each in zip(ids, read, strict=True) if each is not None}
        return found
