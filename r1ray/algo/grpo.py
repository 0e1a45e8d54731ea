"""Objective J (paper section 2.2.1, equations 1 and 2) and its published variants, per token."""

from __future__ import annotations

import torch

from r1ray.algo.doors import SURROGATES
from r1ray.algo.inputs import LossInputs
from r1ray.algo.kl import kl_estimate
from r1ray.algo.variants.dual_clip import bounded_below


def objective(
    inputs: LossInputs,
    weight_N: torch.Tensor,
    *,
    kl_coefficient: float,
    surrogate: str = "clip",
    dual_clip: float | None = None,
    importance_N: torch.Tensor | None = None,
    kl_estimator: str = "k3",
    kl_clamp: float | None = None,
    kl_weighted: bool = False,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return -J: this micro-batch's part of the minibatch loss.

    Args:
        inputs: rho, log-probabilities and A_i of each token.
        weight_N: from :func:`r1ray.algo.aggregation.token_weights`; holds the denominators.
        surrogate: ``clip``, or a variant: see :data:`r1ray.algo.doors.SURROGATES`.
        importance_N: multiplies the policy term, not the KL term.
        kl_weighted: multiply the KL term by rho (DeepSeek-V3.2).

    Returns the loss, and sums over the tokens of this micro-batch: ``policy`` and ``kl`` weighted as in the loss,
    ``clipped`` and ``kl_tokens`` plain.
    """
    surrogate_N, is_clipped_N = SURROGATES.find(surrogate)(inputs)
    if dual_clip is not None:
        surrogate_N, is_clipped_N = bounded_below(surrogate_N, is_clipped_N, inputs.advantage_N, dual_clip=dual_clip)
    if importance_N is not None:
        surrogate_N = surrogate_N * importance_N
    policy = -(surrogate_N * weight_N).sum()
    sums = {"policy": policy.detach(), "clipped": is_clipped_N.sum().float()}
    if inputs.ref_logp_N is None:
        return policy, sums
    kl_N = kl_estimate(inputs.logp_N, inputs.ref_logp_N, estimator=kl_estimator, clamp=kl_clamp)  # D_i,t
    kl = ((kl_N * inputs.ratio_N if kl_weighted else kl_N) * weight_N).sum()
    sums |= {"kl": kl.detach(), "kl_tokens": kl_N.detach().sum()}
    return policy + kl_coefficient * kl, sums
