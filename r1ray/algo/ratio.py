"""How much likelier the policy makes what was sampled: rho."""

from __future__ import annotations

import torch

from r1ray.algo.aggregation import row_means


def log_ratio(
    logp_N: torch.Tensor,
    old_logp_N: torch.Tensor,
    lengths_B: torch.Tensor,
    *,
    level: str = "token",
    clamp: float | None = None,
) -> torch.Tensor:
    """log rho of each token, [N].

    Args:
        level: ``token``: log pi_theta - log pi_old of the token itself (paper equation 1). ``sequence``: the mean of
            that over the tokens of the output, the same for all of them (GSPO, equation 7: the geometric mean of the
            tokens' ratios).
        clamp: keeps the result within +-clamp, and stops the gradient beyond (verl and OpenRLHF: 20).
    """
    difference_N = logp_N - old_logp_N
    if level == "sequence":
        difference_N = row_means(difference_N, lengths_B).repeat_interleave(lengths_B)
    elif level != "token":
        raise ValueError(f"unknown level of the ratio {level!r}")
    return difference_N if clamp is None else difference_N.clamp(-clamp, clamp)
