"""The surrogate of each token: what is maximised (paper equation 1)."""

from __future__ import annotations

import torch


def clipped(
    ratio_N: torch.Tensor, logp_N: torch.Tensor, advantage_N: torch.Tensor, *, clip_low: float, clip_high: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """min(rho A, clip(rho, 1 - clip_low, 1 + clip_high) A), and where the clip was what counted.

    Two bounds as in DAPO, equation 10; the paper's are equal.
    """
    free_N = ratio_N * advantage_N
    clipped_N = ratio_N.clamp(1.0 - clip_low, 1.0 + clip_high) * advantage_N
    return torch.minimum(free_N, clipped_N), clipped_N < free_N
