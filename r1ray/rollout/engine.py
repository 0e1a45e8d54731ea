"""An engine as a group worker sees it: what it is asked for, and what it gives.

TrajectoryRequest --generate--> Generated (a trajectory, finished, truncated or aborted)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from r1ray.types import (
    EngineTimes,
    ExpertsArray,
    Float32Array,
    Int32Array,
    Prompt,
    Sampling,
    Segment,
    Status,
    Trajectory,
    VersionSpan,
    trajectory_id,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrajectoryRequest:
    """The order for one trajectory, or for one turn of it: the unit of generation, deadline, retry and abort."""

    group_id: str
    index: int
    prompt: Prompt
    sampling: Sampling
    seed: int
    is_eval: bool = False
    """Whether its time counts as evaluation's."""
    begun: Trajectory | None = None
    """The beginning of an aborted trajectory, or turn, that goes on, on any engine, under its version."""
    given: Int32Array | None = None  # [P] int32
    """The tokens that a turn follows, in place of the prompt's text."""
    call: int = 0
    """Number of an agent's call, from 1: several may be under way at once. 0: turns come one after the other."""

    @property
    def id(self) -> str:
        """That of the trajectory: ``"<group_id>#<index>"``."""
        return trajectory_id(self.group_id, self.index)

    @property
    def turn_id(self) -> str:
        """The name of what an engine has under way: that of the trajectory, or of an agent's call in it."""
        return f"{self.id}/{self.call}" if self.call else self.id

    def seed_of(self, turn: int) -> int:
        """Return the seed of a turn, from 0, of the trajectory: else all turns would draw the same numbers."""
        return self.seed + 1_000_003 * turn


@dataclass(frozen=True, slots=True)
class Generated:
    """A trajectory as an engine hands it on."""

    trajectory: Trajectory
    kv_tokens: int
    """Tokens whose keys and values the engine holds at that moment, of all that it has under way."""


class RolloutEngine(Protocol):
    """o_i ~ pi_old(. | q)."""

    async def generate(self, request: TrajectoryRequest) -> Generated:
        """Return the trajectory once it is finished, truncated or aborted; of a turn, a trajectory of that turn alone,
        whose prompt is what was given. Raises ``EngineLost``; then it has to be generated again, alone. Raises
        ``PromptTooLong``.

        A request with the ``turn_id`` of one that is under way takes its place: the earlier one ends as aborted.
        """
        ...

    async def abort(self, ids: Sequence[str]) -> None:
        """End what has one of these as its ``turn_id``: its pending :meth:`generate` returns what there is of it. (To
        cancel the wait for it aborts nothing.)"""
        ...

    async def times(self) -> EngineTimes:
        """Return how the engine has spent its time."""
        ...


def one_segment(
    *,
    group_id: str,
    index: int,
    prompt_token_ids: Int32Array,
    token_ids: Int32Array,
    logprobs: Float32Array,
    versions: tuple[VersionSpan, ...],
    text: str = "",
    status: Status = "finished",
    stop: str = "",
    experts: ExpertsArray | None = None,
    seconds: float = 0.0,
) -> Trajectory:
    """Return the trajectory of one policy segment that has these tokens."""
    segment = Segment(kind="policy", token_ids=token_ids, logprobs=logprobs, versions=versions, text=text, stop=stop)
    segment = segment if experts is None else replace(segment, experts=experts)
    return Trajectory(
        group_id=group_id,
        index=index,
        prompt_token_ids=prompt_token_ids,
        segments=(segment,),
        status=status,
        seconds=seconds,
    )


def joined_experts(before: Segment | None, now: ExpertsArray | None) -> ExpertsArray | None:
    """Return the experts of a trajectory that went on, [R, layers, K]: those that were chosen when each token was read
    first, before those of a later version that read it again.

    Args:
        before: what there was of it.
        now: the experts of all that the engine has read now.
    """
    if before is None or not before.experts.size:
        return now
    return before.experts if now is None else np.concatenate([before.experts, now[len(before.experts) :]])
