"""Dual-clip PPO (equation 5): a second bound, for tokens with a negative advantage."""

from __future__ import annotations

import torch


def bounded_below(
    surrogate_N: torch.Tensor, is_clipped_N: torch.Tensor, advantage_N: torch.Tensor, *, dual_clip: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a clipped surrogate that is bounded below by ``dual_clip`` A where A < 0."""
    least_N = torch.where(advantage_N < 0, dual_clip * advantage_N, -torch.inf)
    return torch.maximum(surrogate_N, least_N), is_clipped_N | (least_N > surrogate_N)
