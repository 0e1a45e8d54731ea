"""verl's estimator of the KL: |k1|."""

from __future__ import annotations

import torch


def absolute(difference_N: torch.Tensor) -> torch.Tensor:
    """Return |d|, for d = log pi_ref - log pi_theta."""
    return difference_N.abs()
