"""The policy on the rollout engines, as the generator of a search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from r1ray.checks import FormatOnly
from r1ray.evaluation.tree_search import Piece
from r1ray.rollout.engine import one_segment
from r1ray.types import GroupRequest, Prompt, Sampling, ScoredTrajectory, Trajectory, VersionSpan


class Sampler(Protocol):
    """Generates without scoring, and scores texts from elsewhere: :class:`r1ray.cluster.group_workers.GroupWorkers`."""

    async def sample(self, request: GroupRequest) -> tuple[Trajectory, ...]: ...

    async def score(self, prompt: Prompt, trajectory: Trajectory) -> ScoredTrajectory: ...

    async def classes(self, prompt: Prompt, answers: Sequence[str | None]) -> tuple[int | None, ...] | None: ...

    def is_recovering(self) -> bool: ...


class EnginePolicy:
    """A :class:`~r1ray.evaluation.tree_search.Generate` over rollout engines."""

    def __init__(self, sampler: Sampler, *, name: str, temperature: float, top_p: float, segment_end: str) -> None:
        """
        Args:
            name: name of the search, for logs.
            segment_end: the string after which a segment ends.
        """
        self._sampler, self._name = sampler, name
        self._temperature, self._top_p, self._segment_end = temperature, top_p, segment_end

    async def __call__(
        self, prefix: str, *, num_samples: int, max_tokens: int, whole: bool, seed: int
    ) -> Sequence[Piece]:
        """See :class:`~r1ray.evaluation.tree_search.Generate`. Raises EngineLost if a sample was lost three times."""
        stop = () if whole else (self._segment_end,)
        request = GroupRequest(
            group_id=f"search/{self._name}/{seed}",
            prompt=Prompt(id=self._name, text=prefix, check=FormatOnly(), domain="", language=""),
            group_size=num_samples,
            sampling=Sampling(self._temperature, self._top_p, max_tokens, stop=stop, with_logprobs=False),
            seed=seed,
            is_eval=True,
        )
        return list(map(_piece, await self._sampler.sample(request)))


def _piece(trajectory: Trajectory) -> Piece:
    return Piece(trajectory.text, trajectory.num_policy_tokens, trajectory.is_ended)


def trajectory_of(text: str, *, index: int, num_tokens: int, is_finished: bool) -> Trajectory:
    """Return a text as a trajectory for a scorer. Only the number of its tokens is known."""
    nothing = np.zeros(0, dtype=np.int32)
    return one_segment(
        group_id="text",
        index=index,
        prompt_token_ids=nothing,
        token_ids=np.zeros(num_tokens, dtype=np.int32),
        logprobs=nothing.astype(np.float32),
        versions=(VersionSpan(0, 0, num_tokens),),
        text=text,
        status="finished" if is_finished else "truncated",
    )
