"""An entropy bonus: PPO's (Schulman et al. 2017, equation 9), in the minibatch's own mean, as verl takes it."""

from __future__ import annotations

import torch


def entropy_bonus(entropy_N: torch.Tensor, weight_N: torch.Tensor, *, coefficient: float) -> torch.Tensor:
    """Return what is subtracted from the loss: the coefficient times the mean entropy of the policy.

    Args:
        entropy_N: of the policy's distribution at each token in the loss, with gradient.
        weight_N: from :func:`r1ray.algo.aggregation.token_weights`; holds the denominators.
    """
    return coefficient * (entropy_N * weight_N).sum()
