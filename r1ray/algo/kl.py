"""How far the policy is from the reference: per-token estimators of KL(pi_theta || pi_ref).

Names and forms k1, k2, k3 follow Schulman, "Approximating KL divergence".
"""

from __future__ import annotations

import torch


def kl_estimate(
    logp_N: torch.Tensor, ref_logp_N: torch.Tensor, *, estimator: str = "k3", clamp: float | None = None
) -> torch.Tensor:
    """D of each token, [N].

    Args:
        estimator: with d = log pi_ref - log pi_theta, ``k1``: -d; ``abs``: |d|; ``k2``: d^2 / 2; ``k3``:
            exp(d) - d - 1, never negative (paper equation 2).
        clamp: keeps the value within +-clamp; beyond, there is no gradient (verl, OpenRLHF and NeMo-RL: 10).
    """
    difference_N = ref_logp_N - logp_N
    if estimator == "k1":
        values_N = -difference_N
    elif estimator == "abs":
        values_N = difference_N.abs()
    elif estimator == "k2":
        values_N = 0.5 * difference_N.square()
    elif estimator == "k3":
        if clamp is not None:  # k3 is above the clamp out there; its gradient would be 0 times infinity
            difference_N = difference_N.clamp(-clamp - 2.0, clamp + 2.0)
        values_N = torch.exp(difference_N) - difference_N - 1.0
    else:
        raise ValueError(f"unknown estimator of the KL {estimator!r}")
    return values_N if clamp is None else values_N.clamp(-clamp, clamp)
