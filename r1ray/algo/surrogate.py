"""What is maximised of each token: rho A in its published forms. Each returns the objective, and whether its clip
was what counted."""

from __future__ import annotations

import torch


def clipped(
    ratio_N: torch.Tensor,
    advantage_N: torch.Tensor,
    *,
    clip_low: float,
    clip_high: float,
    dual_clip: float | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """min(rho A, clip(rho, 1 - clip_low, 1 + clip_high) A) (paper equation 1; two bounds as in DAPO, equation 10).

    Args:
        dual_clip: c > 1: where A < 0, no less than c A (dual-clip PPO, equation 5).
    """
    free_N = ratio_N * advantage_N
    clipped_N = ratio_N.clamp(1.0 - clip_low, 1.0 + clip_high) * advantage_N
    is_clipped_N = clipped_N < free_N
    surrogate_N = torch.minimum(free_N, clipped_N)
    if dual_clip is not None:
        least_N = torch.where(advantage_N < 0, dual_clip * advantage_N, -torch.inf)
        is_clipped_N = is_clipped_N | (least_N > surrogate_N)
        surrogate_N = torch.maximum(surrogate_N, least_N)
    return surrogate_N, is_clipped_N


def weighted(
    ratio_N: torch.Tensor, logp_N: torch.Tensor, advantage_N: torch.Tensor, *, clip_low: float, clip_high: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """sg(clip(rho, 1 - clip_low, 1 + clip_high)) A log pi_theta: the clip bounds a token's weight, and never takes its
    gradient away (CISPO, MiniMax-M1 equations 4 and 5)."""
    ratio_N = ratio_N.detach()
    weight_N = ratio_N.clamp(1.0 - clip_low, 1.0 + clip_high)
    return weight_N * advantage_N * logp_N, weight_N != ratio_N


def reinforce(logp_N: torch.Tensor, advantage_N: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A log pi_theta: no ratio, no clip (REINFORCE; RLOO, equation 5)."""
    return advantage_N * logp_N, torch.zeros_like(logp_N, dtype=torch.bool)
