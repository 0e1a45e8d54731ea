"""The policy that rollout engines hold, as the generator of a search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np

from r1ray.checks import FormatOnly
from r1ray.errors import EngineLost
from r1ray.evaluation.questions import Open
from r1ray.evaluation.tree_search import Segment
from r1ray.interfaces import RolloutEngine
from r1ray.rollout.group import MAX_ATTEMPTS
from r1ray.types import Completion, GroupRequest, Prompt, Sampling, VersionSpan

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
            open_chunk: gets the completions of a chunk.
            name: of the search, for logs.
            segment_end: the string after which a segment ends.
        """
        self._rollout, self._open, self._name = rollout, open_chunk, name
        self._temperature, self._top_p, self._segment_end = temperature, top_p, segment_end

    async def __call__(
        self, prefix: str, *, num_samples: int, max_tokens: int, whole: bool, seed: int
    ) -> Sequence[Segment]:
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
                completions = [c async for chunk in self._rollout.generate(request) for c in await self._open(chunk)]
                return [_segment(c) for c in sorted(completions, key=lambda completion: completion.index)]
            except EngineLost:
                if attempt == MAX_ATTEMPTS:
                    raise
        raise AssertionError("unreachable")


def _segment(completion: Completion) -> Segment:
    return Segment(completion.text, len(completion.token_ids), completion.finish_reason == "stop")


def completion_of(text: str, *, index: int, num_tokens: int, is_finished: bool) -> Completion:
    """A text as a scorer takes it. Of its tokens only the number is known."""
    nothing = np.zeros(0, dtype=np.int32)
    return Completion(
        occurrence="text",
        index=index,
        prompt_token_ids=nothing,
        token_ids=np.zeros(num_tokens, dtype=np.int32),
        logprobs=nothing.astype(np.float32),
        text=text,
        finish_reason="stop" if is_finished else "length",
        versions=(VersionSpan(0, 0, num_tokens),),
    )
