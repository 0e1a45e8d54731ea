"""Finished groups for tests: each trajectory in a chunk of its own."""

from __future__ import annotations

from collections.abc import Sequence

from r1ray.rollout.group import FinishedGroup
from r1ray.types import Completion, GroupRequest, Outcome, Sampling, Verdict
from tests.fakes import make_completion, make_prompt

Chunk = tuple[Completion, ...]


def make_group(
    group_id: str, outcomes: Sequence[Outcome], *, order: Sequence[int] | None = None, truncated: Sequence[int] = ()
) -> FinishedGroup[Chunk]:
    """Return the group whose trajectory i has i + 1 tokens and ``outcomes[i]``.

    Args:
        order: in which the trajectories finished.
        truncated: the indices of those that the length limit cut.
    """
    order = range(len(outcomes)) if order is None else order
    completions = [make_completion(occurrence=group_id, index=index, num_tokens=index + 1) for index in order]
    scored = [
        Verdict(
            index=completion.index,
            outcome=outcomes[completion.index],
            extracted=None,
            num_prompt_tokens=len(completion.prompt_token_ids),
            num_tokens=len(completion.token_ids),
            truncated=completion.index in truncated,
            oldest_version=completion.oldest_version,
        )
        for completion in completions
    ]
    request = GroupRequest(
        occurrence=group_id,
        prompt=make_prompt(f"p{group_id}"),
        num_completions=len(outcomes),
        sampling=Sampling(1.0, 1.0, 8),
        seed=0,
    )
    return FinishedGroup(
        request=request,
        chunks=tuple((completion,) for completion in completions),
        verdicts=tuple((one,) for one in scored),
        generate_s=1.0,
        reward_s=0.0,
    )
