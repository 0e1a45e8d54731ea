"""Roles: what the loop is given. It calls these, and nothing else of the system."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from r1ray.interfaces import Learner, Recorder, RolloutEngine, Scorer, WeightSync
from r1ray.types import EvalResult, Position, Prompt

C = TypeVar("C")


class Evaluate(Protocol):
    """The held-out metrics of a version, of the engines of ``Roles.held_out``."""

    def __call__(self, version: int, on_start: Callable[[int], None]) -> Coroutine[Any, Any, EvalResult]:
        """``on_start`` as of :func:`r1ray.rollout.group.run_group`."""
        ...


class PromptSource(Protocol):
    """The data as the loop sees it: a :class:`r1ray.data.prompts.PromptCursor`."""

    position: Position

    def take(self) -> tuple[Position, Prompt]: ...

    def at(self, position: Position) -> Prompt: ...


@dataclass(frozen=True, slots=True)
class Roles(Generic[C]):
    """The five roles and the rollout log (the reference lives beside the learner)."""

    rollout: RolloutEngine[C]
    scorer: Scorer[C]
    learner: Learner[C]
    weights: WeightSync
    recorder: Recorder[C]
    held_out: RolloutEngine[C]
    """The engines that evaluate: the rollout engines, or engines of its own (``eval.num_actors``)."""
