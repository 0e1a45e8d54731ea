"""Aggregation of per-token losses to one number: the weight of each token."""

from __future__ import annotations

import torch


def token_weights(
    lengths_B: torch.Tensor,
    *,
    aggregation: str,
    num_sequences: int,
    num_tokens: int,
    max_completion_tokens: int | None = None,
) -> torch.Tensor:
    """Return the weight of each completion token in the loss, as [N] float32 for N = sum(lengths_B).

    ``seq_mean`` (the paper's 1/G sum_i 1/|o_i| sum_t): the mean over the tokens of each output, then over the
    ``num_sequences`` outputs of the minibatch. ``token_mean`` (DAPO, equation 8): the mean over the ``num_tokens``
    tokens of the minibatch. ``seq_sum`` (REINFORCE, RLOO): the sum over the tokens of each output, then the mean over
    outputs. ``fixed_length`` (Dr. GRPO, section 3.2 and its code): the same over the constant
    ``max_completion_tokens``, whatever the length of the output.

    All denominators are those of the whole minibatch, over all micro-batches and ranks, so the parts of a
    minibatch add up to the same loss however it is split.
    """
    if aggregation == "seq_mean":
        weights_B = 1.0 / (num_sequences * lengths_B.clamp(min=1).float())
    elif aggregation == "token_mean":
        weights_B = torch.full_like(lengths_B, 1.0 / max(num_tokens, 1), dtype=torch.float32)
    elif aggregation == "seq_sum":
        weights_B = torch.full_like(lengths_B, 1.0 / num_sequences, dtype=torch.float32)
    elif aggregation == "fixed_length" and max_completion_tokens is not None:
        weights_B = torch.full_like(lengths_B, 1.0 / (num_sequences * max_completion_tokens), dtype=torch.float32)
    else:
        raise ValueError(f"unknown aggregation {aggregation!r}, or fixed_length without its length")
    return weights_B.repeat_interleave(lengths_B)


def row_sums(values_N: torch.Tensor, lengths_B: torch.Tensor) -> torch.Tensor:
    """Return the sum over the tokens of each row, [B]; 0 for a row without tokens."""
    rows_N = torch.arange(len(lengths_B), device=lengths_B.device).repeat_interleave(lengths_B)
    return torch.zeros(len(lengths_B), dtype=values_N.dtype, device=values_N.device).index_add(0, rows_N, values_N)


def row_means(values_N: torch.Tensor, lengths_B: torch.Tensor) -> torch.Tensor:
    """Return the mean over the tokens of each row, [B]; 0 for a row without tokens."""
    return row_sums(values_N, lengths_B) / lengths_B.clamp(min=1)
