"""Rows lent to a learner that lives in the process of the test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from r1ray.types import Shard, StepStats, Trajectory


@dataclass(frozen=True, slots=True)
class Lent:
    """A :class:`r1ray.interfaces.Lent` of what it is given."""

    rows: Mapping[str, Any]

    def read(self) -> Mapping[str, Any]:
        return self.rows


def by_id(trajectories: Iterable[Trajectory]) -> dict[str, Trajectory]:
    return {each.id: each for each in trajectories}


def by_number(rows: Iterable[Any]) -> dict[str, Any]:
    """Given rows by the names that a plan has for them."""
    return {str(number): row for number, row in enumerate(rows)}


def names_of(shard: Shard) -> list[str]:
    return [each.id for minibatch in shard.minibatches for micro in minibatch.microbatches for each in micro]


def train(learner: Any, shard: Shard, rows: Mapping[str, Any], *, has_more: bool = False) -> StepStats:
    """Have the learner fetch what the shard names, and train on it."""
    missing = learner.fetch(Lent(rows), names_of(shard))
    assert not missing, missing
    stats: StepStats = learner.train(shard, has_more)
    return stats
