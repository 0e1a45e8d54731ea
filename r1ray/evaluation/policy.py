"""The policy that rollout engines hold, as the generator of a search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np

from r1ray.checks import FormatOnly
from r1ray.errors import EngineLost
from r1ray.evaluation.questions import Open
from r1ray.evaluation.tree_search import Piece
from r1ray.interfaces import RolloutEngine
from r1ray.rollout.group import MAX_ATTEMPTS
from r1ray.types import GroupRequest, Prompt, Sampling, Trajectory, VersionSpan

C = TypeVar("C")


class EnginePolicy(Generic[C]):
    """A :class:`~r1ray.evaluation.tree_search.Generate` over a rollout engine."""

    def __init__(
        self,
        rollout: RolloutEngine[C],
        open_chunk: Open[C],
        *,
        name: str,
        temperature: float,
        top_p: float,
        segment_end: str,
    ) -> None:
        """
        Args:
            open_chunk: gets the trajectories of a chunk.
            name: of the search, for logs.
            segment_end: the string after which a segment ends.
        """
        self._rollout, self._open, self._name = rollout, open_chunk, name
        self._temperature, self._top_p, self._segment_end = temperature, top_p, segment_end

    async def __call__(
        self, prefix: str, *, num_samples: int, max_tokens: int, whole: bool, seed: int
    ) -> Sequence[Piece]:
        """See :class:`~r1ray.evaluation.tree_search.Generate`. Raises EngineLost after ``MAX_ATTEMPTS`` engines."""
        stop = () if whole else (self._segment_end,)
        request = GroupRequest(
            occurrence=f"search/{self._name}/{seed}",
            prompt=Prompt(id=self._name, text=prefix, check=FormatOnly(), domain="", language=""),
            num_completions=num_samples,
            sampling=Sampling(self._temperature, self._top_p, max_tokens, stop=stop, with_logprobs=False),
            seed=seed,
        )
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                drawn = [each async for chunk in self._rollout.generate(request) for each in await self._open(chunk)]
                return [_piece(each) for each in sorted(drawn, key=lambda trajectory: trajectory.index)]
            except EngineLost:
                if attempt == MAX_ATTEMPTS:
                    raise
        raise AssertionError("unreachable")


def _piece(trajectory: Trajectory) -> Piece:
    return Piece(trajectory.text, trajectory.num_policy_tokens, trajectory.is_ended)


def trajectory_of(text: str, *, index: int, num_tokens: int, is_finished: bool) -> Trajectory:
    """Return a text as a scorer takes it. Of its tokens only the number is known."""
    nothing = np.zeros(0, dtype=np.int32)
    return Trajectory.completion(
        group_id="text",
        index=index,
        prompt_token_ids=nothing,
        token_ids=np.zeros(num_tokens, dtype=np.int32),
        logprobs=nothing.astype(np.float32),
        versions=(VersionSpan(0, 0, num_tokens),),
        text=text,
        status="finished" if is_finished else "truncated",
    )
