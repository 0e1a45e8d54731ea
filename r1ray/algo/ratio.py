"""Ratio rho (paper equation 1): the policy's probability of a sampled token over the old policy's."""

from __future__ import annotations

import torch

from r1ray.algo.doors import RATIOS


def log_ratio(
    logp_N: torch.Tensor,
    old_logp_N: torch.Tensor,
    lengths_B: torch.Tensor,
    *,
    level: str = "token",
    clamp: float | None = None,
) -> torch.Tensor:
    """Return log rho of each token, [N].

    Args:
        level: ``token``, or a variant: see :data:`r1ray.algo.doors.RATIOS`.
        clamp: keeps the result within +-clamp, and stops the gradient beyond (verl and OpenRLHF: 20).
    """
    log_ratio_N = RATIOS.find(level)(logp_N - old_logp_N, lengths_B)
    return log_ratio_N if clamp is None else log_ratio_N.clamp(-clamp, clamp)


def of_token(difference_N: torch.Tensor, lengths_B: torch.Tensor) -> torch.Tensor:
    """Return log pi_theta - log pi_old of the token itself."""
    return difference_N
