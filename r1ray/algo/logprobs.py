"""Log-probabilities of chosen tokens without the logits of a whole micro-batch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.utils.checkpoint import checkpoint

MAX_LOGITS_PER_CHUNK = 2**24
"""Elements of logits that exist at a time: 64 MiB of float32."""


def token_logprobs(
    hidden_NH: torch.Tensor,
    head: Callable[[torch.Tensor], torch.Tensor],
    targets_N: torch.Tensor,
    *,
    vocabulary: int,
    temperature: float,
    max_logits: int = MAX_LOGITS_PER_CHUNK,
) -> tuple[torch.Tensor, torch.Tensor]:
    """log softmax(head(hidden) / temperature)[target] and the entropy of that distribution, each [N] float32.

    Rows are taken ``max_logits // vocabulary`` at a time. Where there is more than one such chunk, each chunk's
    logits are dropped after the forward pass and computed again in the backward pass, so that no more than one
    chunk of logits ever exists. The entropy carries no gradient.
    """
    rows = max(1, max_logits // vocabulary)

    def chunk(hidden: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = head(hidden).float() / temperature
        log_z = torch.logsumexp(logits, dim=-1)
        logp = logits.gather(-1, targets.unsqueeze(-1)).squeeze(-1) - log_z
        with torch.no_grad():
            entropy = log_z - torch.einsum("nv,nv->n", torch.exp(logits - log_z.unsqueeze(-1)), logits)
        return logp, entropy

    if len(targets_N) <= rows:
        return chunk(hidden_NH, targets_N)
    parts = [
        checkpoint(chunk, hidden, targets, use_reentrant=False)
        for hidden, targets in zip(hidden_NH.split(rows), targets_N.split(rows), strict=True)
    ]
    return torch.cat([logp for logp, _ in parts]), torch.cat([entropy for _, entropy in parts])
