"""REINFORCE's surrogate (RLOO, equation 5): no ratio, no clip."""

from __future__ import annotations

import torch


def reinforce(
    ratio_N: torch.Tensor, logp_N: torch.Tensor, advantage_N: torch.Tensor, *, clip_low: float, clip_high: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """A log pi_theta."""
    return advantage_N * logp_N, torch.zeros_like(logp_N, dtype=torch.bool)
