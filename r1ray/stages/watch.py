"""Who looks on at a stage while it runs: the phases that it is in, and the calls of its loop."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from r1ray.cluster.launch import Running
    from r1ray.controller import Roles


class Watch(Protocol):
    """Somebody who looks on at reinforcement learning."""

    def during(self, phase: str) -> AbstractContextManager[None]:
        """Entered for as long as the stage is in a phase of its own: ``start``, ``export``."""
        ...

    def started(self, running: Running) -> Roles[Any]:
        """The roles that the loop is to call: those of ``running``, or others that pass every call on to them."""
        ...


class Unwatched:
    """Nobody."""

    def during(self, phase: str) -> AbstractContextManager[None]:
        return nullcontext()

    def started(self, running: Running) -> Roles[Any]:
        return running.roles
