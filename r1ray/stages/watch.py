"""An observer of a stage while it runs: it sees the phases, and the calls of the loop."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from r1ray.cluster.launch import Running
    from r1ray.loop.roles import Roles


class Watch(Protocol):
    """An observer of reinforcement learning."""

    def during(self, phase: str) -> AbstractContextManager[None]:
        """A context that the stage is in during a phase of its own: ``start``, ``export``."""
        ...

    def started(self, running: Running) -> Roles:
        """The roles that the loop is to call: those of ``running``, or others that pass every call on to them."""
        ...


class Unwatched:
    """A Watch that does nothing."""

    def during(self, phase: str) -> AbstractContextManager[None]:
        return nullcontext()

    def started(self, running: Running) -> Roles:
        return running.roles
