"""CISPO's surrogate (MiniMax-M1, equations 4 and 5): the clip bounds a token's weight, and keeps its gradient."""

from __future__ import annotations

import torch


def weighted(
    ratio_N: torch.Tensor, logp_N: torch.Tensor, advantage_N: torch.Tensor, *, clip_low: float, clip_high: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """sg(clip(rho, 1 - clip_low, 1 + clip_high)) A log pi_theta."""
    ratio_N = ratio_N.detach()
    weight_N = ratio_N.clamp(1.0 - clip_low, 1.0 + clip_high)
    return weight_N * advantage_N * logp_N, weight_N != ratio_N
