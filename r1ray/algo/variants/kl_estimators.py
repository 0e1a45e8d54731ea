"""Other estimators of KL(pi_theta || pi_ref): k1 and k2 of Schulman, "Approximating KL divergence", and |k1|."""

from __future__ import annotations

import torch


def k1(difference_N: torch.Tensor) -> torch.Tensor:
    """-d, for d = log pi_ref - log pi_theta."""
    return -difference_N


def absolute(difference_N: torch.Tensor) -> torch.Tensor:
    """|d|."""
    return difference_N.abs()


def k2(difference_N: torch.Tensor) -> torch.Tensor:
    """d^2 / 2."""
    return 0.5 * difference_N.square()
