"""A micro-batch as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from r1ray.types import Completion, Pick


@dataclass(frozen=True, slots=True)
class Rows:
    """Padded rows of prompt and completion, and the per-token numbers of the loss laid end to end."""

    input_ids_BT: torch.Tensor  # [B, T] int64, padded on the right with 0
    completion_mask_BT: torch.Tensor  # [B, T] bool
    lengths_B: torch.Tensor  # [B] int64, completion tokens of each row
    rollout_logp_N: torch.Tensor  # [N] float32
    advantage_N: torch.Tensor  # [N] float32
    fresh_N: torch.Tensor  # [N] bool: sampled by the learner's own version
    occurrences: tuple[str, ...]
    num_tokens: int
    """Prompt and completion tokens, without padding."""

    @property
    def is_empty(self) -> bool:
        return self.num_tokens == 0


def make_rows(
    picks: Sequence[Pick], chunks: Sequence[tuple[Completion, ...]], *, learner_version: int, device: torch.device
) -> Rows:
    """The picked completions as rows. No picks give one row that weighs nothing, so that a rank without work can
    still take part in the collectives of a forward and backward pass."""
    if not picks:
        return Rows(
            input_ids_BT=torch.zeros(1, 2, dtype=torch.int64, device=device),
            completion_mask_BT=torch.tensor([[False, True]], device=device),
            lengths_B=torch.ones(1, dtype=torch.int64, device=device),
            rollout_logp_N=torch.zeros(1, device=device),
            advantage_N=torch.zeros(1, device=device),
            fresh_N=torch.zeros(1, dtype=torch.bool, device=device),
            occurrences=(),
            num_tokens=0,
        )
    completions = [chunks[pick.chunk][pick.row] for pick in picks]
    width = max(len(c.prompt_token_ids) + len(c.token_ids) for c in completions)
    input_ids = torch.zeros(len(picks), width, dtype=torch.int64)
    mask = torch.zeros(len(picks), width, dtype=torch.bool)
    fresh = []
    for row, completion in enumerate(completions):
        start, length = len(completion.prompt_token_ids), len(completion.token_ids)
        input_ids[row, :start] = torch.from_numpy(completion.prompt_token_ids.astype("int64"))
        input_ids[row, start : start + length] = torch.from_numpy(completion.token_ids.astype("int64"))
        mask[row, start : start + length] = True
        is_fresh = torch.zeros(length, dtype=torch.bool)
        for span in completion.versions:
            is_fresh[span.start : span.end] = span.version == learner_version
        fresh.append(is_fresh)
    lengths = torch.tensor([len(c.token_ids) for c in completions])
    advantages = torch.tensor([pick.advantage for pick in picks], dtype=torch.float32)
    return Rows(
        input_ids_BT=input_ids.to(device),
        completion_mask_BT=mask.to(device),
        lengths_B=lengths.to(device),
        rollout_logp_N=torch.cat([torch.from_numpy(c.logprobs.copy()) for c in completions]).to(device),
        advantage_N=advantages.repeat_interleave(lengths).to(device),
        fresh_N=torch.cat(fresh).to(device),
        occurrences=tuple(c.occurrence for c in completions),
        num_tokens=int(mask.sum()) + sum(len(c.prompt_token_ids) for c in completions),
    )
