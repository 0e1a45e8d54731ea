"""Roles: what the loop is given. It calls these, and nothing else of the system."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from r1ray.interfaces import GroupRunner, Learner, Recorder, WeightSync
from r1ray.types import EvalResult, Position, Prompt


class Evaluate(Protocol):
    """The metrics of a version on held-out prompts, by the engines of ``Roles.eval_groups``."""

    def __call__(self, version: int) -> Coroutine[Any, Any, EvalResult]: ...


class PromptSource(Protocol):
    """The data as the loop sees it: a :class:`r1ray.data.prompts.PromptCursor`."""

    position: Position

    def take(self) -> tuple[Position, Prompt]: ...

    def at(self, position: Position) -> Prompt: ...


@dataclass(frozen=True, slots=True)
class Roles:
    """Who generates and scores, learns, publishes and keeps the log (the reference lives beside the learner)."""

    groups: GroupRunner
    learner: Learner
    weights: WeightSync
    recorder: Recorder
    eval_groups: GroupRunner
    """Groups on the engines that evaluate: the rollout engines, or engines of its own (``eval.num_actors``)."""
