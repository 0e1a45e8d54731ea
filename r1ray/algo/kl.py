"""KL term D of each token (paper equation 2): the distance of the policy from the reference."""

from __future__ import annotations

import torch

from r1ray.algo.doors import ESTIMATORS


def kl_estimate(
    logp_N: torch.Tensor, ref_logp_N: torch.Tensor, *, estimator: str = "k3", clamp: float | None = None
) -> torch.Tensor:
    """Return D of each token, [N].

    Args:
        estimator: ``k3``, or a variant: see :data:`r1ray.algo.doors.ESTIMATORS`.
        clamp: keeps the value within +-clamp, without gradient beyond (verl, OpenRLHF and NeMo-RL: 10).
    """
    difference_N = ref_logp_N - logp_N
    if clamp is None:
        return ESTIMATORS.find(estimator)(difference_N)
    # Every estimator exceeds the clamp there; the gradient of k3 would be 0 times infinity.
    difference_N = difference_N.clamp(-clamp - 2.0, clamp + 2.0)
    return ESTIMATORS.find(estimator)(difference_N).clamp(-clamp, clamp)


def k3(difference_N: torch.Tensor) -> torch.Tensor:
    """Return exp(d) - d - 1 for d = log pi_ref - log pi_theta: unbiased, and never negative."""
    return torch.exp(difference_N) - difference_N - 1.0
