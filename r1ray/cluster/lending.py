"""Trajectories on their way to the process that needs them: with the call, or by id from the worker that holds them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError

from r1ray.cluster.host import Handle
from r1ray.telemetry.learned import Learned
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
    within_s: float
    """Time for all of them together."""

    def read(self) -> Mapping[str, Trajectory]:
        """Return what is there; what a worker took with it is left out, and what one has that does not answer: it is
        stopped, or its node is cut off."""
        until = time.monotonic() + self.within_s
        calls = [(ids, worker.read.remote(incarnation, ids)) for worker, incarnation, ids in self.wanted]
        found: dict[str, Trajectory] = {}
        for ids, call in calls:
            try:
                read = ray.get(call, timeout=max(0.0, until - time.monotonic()))
            except (RayActorError, GetTimeoutError):
                continue
            found |= {name: each for name, each in zip(ids, read, strict=True) if each is not None}
        return found


@dataclass(frozen=True, slots=True)
class Kept:
    """Log-probabilities that learner ranks found, and keep until they are read
    (:meth:`r1ray.cluster.rank_host.RankHost.keep`)."""

    calls: Sequence[Any]
    """A reference to a list of one reference, of each rank."""
    within_s: float
    """Time for all of them together."""

    def read(self) -> Mapping[str, Learned]:
        """Return what is there; what a rank took with it is left out."""
        until = time.monotonic() + self.within_s
        found: dict[str, Learned] = {}
        for call in self.calls:
            try:
                (kept,) = ray.get(call, timeout=max(0.0, until - time.monotonic()))
                found |= ray.get(kept, timeout=max(0.0, until - time.monotonic()))
            except RayError:
                continue
        return found
