"""Roles that the loop is given. It calls these, and no other part of the system."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from r1ray.data.position import Position
from r1ray.errors import LearnerLost
from r1ray.interfaces import GroupRunner, Learner, Recorder, WeightSync
from r1ray.telemetry.eval_result import EvalResult
from r1ray.types import Prompt, ScoredGroup


class Evaluate(Protocol):
    """A function that evaluates the version made by a step on held-out prompts, on the engines of
    ``Roles.eval_groups``."""

    def __call__(self, step: int) -> Coroutine[Any, Any, EvalResult]: ...


class RestartableLearner(Learner, Protocol):
    """A learner whose ranks can be lost. Each of its methods then raises LearnerLost."""

    async def restart(self) -> None:
        """End all ranks and start the same number again in their places, in the learner's initial state. Raises
        LearnerLost."""
        ...

    async def check(self) -> None:
        """Raise LearnerLost if a rank is dead, or does not answer although answering needs no computation."""
        ...

    def when_lost(self, callback: Callable[[LearnerLost], None]) -> None:
        """Have ``callback`` called when a rank is lost, even while nobody waits for it."""
        ...


class PromptSource(Protocol):
    """Source of prompts as the loop sees it: a :class:`r1ray.data.prompts.PromptCursor`."""

    position: Position

    def take(self) -> tuple[Position, Prompt]: ...

    def at(self, position: Position) -> Prompt: ...

    def observe(self, position: Position, group: ScoredGroup) -> None:
        """Note the finished group of a prompt: solved prompts may not come again."""
        ...

    def state(self, oldest: Position) -> dict[str, Any]:
        """Return, as JSON, the state of the sequence beside the position, for all positions from ``oldest`` on."""
        ...

    def load(self, state: Mapping[str, Any]) -> None:
        """Return to a state; an empty one is that of the start."""
        ...

    def metrics(self) -> dict[str, float]: ...


@dataclass(frozen=True, slots=True)
class Roles:
    """Roles that generate and score, learn, publish and keep the log (the reference lives beside the learner)."""

    groups: GroupRunner
    learner: RestartableLearner
    weights: WeightSync
    recorder: Recorder
    eval_groups: GroupRunner
    """Groups on the engines that evaluate: the rollout engines, or separate engines (``eval.num_actors``)."""
    eval_world_s: float = 0.0
    """Longest time for which an evaluation may wait for the environments of its prompts. Unit: seconds."""
