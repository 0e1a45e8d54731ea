"""The estimator k2 of KL(pi_theta || pi_ref) (Schulman, "Approximating KL divergence")."""

from __future__ import annotations

import torch


def k2(difference_N: torch.Tensor) -> torch.Tensor:
    """Return d^2 / 2, for d = log pi_ref - log pi_theta."""
    return 0.5 * difference_N.square()
