"""PPO's entropy bonus (Schulman et al. 2017, equation 9), averaged over the minibatch as in verl."""

from __future__ import annotations

import torch


def entropy_bonus(entropy_N: torch.Tensor, weight_N: torch.Tensor, *, coefficient: float) -> torch.Tensor:
    """Return the coefficient times the mean entropy of the policy, to be subtracted from the loss.

    Args:
        entropy_N: entropy of the policy's distribution at each token in the loss, with gradient.
        weight_N: from :func:`r1ray.algo.aggregation.token_weights`; holds the denominators.
    """
    return coefficient * (entropy_N * weight_N).sum()
