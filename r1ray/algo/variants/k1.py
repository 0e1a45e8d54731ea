"""The estimator k1 of KL(pi_theta || pi_ref) (Schulman, "Approximating KL divergence")."""

from __future__ import annotations

import torch


def k1(difference_N: torch.Tensor) -> torch.Tensor:
    """Return -d, for d = log pi_ref - log pi_theta."""
    return -difference_N
