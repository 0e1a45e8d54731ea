"""The objective J (paper section 2.2.1, equations 1 and 2) and its published relatives, per token."""

from __future__ import annotations

import torch

from r1ray.algo.doors import SURROGATES
from r1ray.algo.inputs import LossInputs
from r1ray.algo.kl import kl_estimate
from r1ray.algo.ratio import log_ratio
from r1ray.algo.variants.dual_clip import bounded_below


def grpo_loss(
    logp_N: torch.Tensor,
    old_logp_N: torch.Tensor,
    ref_logp_N: torch.Tensor | None,
    advantage_N: torch.Tensor,
    weight_N: torch.Tensor,
    lengths_B: torch.Tensor,
    *,
    clip_low: float,
    clip_high: float,
    kl_coefficient: float,
    surrogate: str = "clip",
    ratio: str = "token",
    log_ratio_clamp: float | None = None,
    dual_clip: float | None = None,
    kl_estimator: str = "k3",
    kl_clamp: float | None = None,
    kl_weighted: bool = False,
    importance_N: torch.Tensor | None = None,
    rollout_logp_N: torch.Tensor | None = None,
    fresh_N: torch.Tensor | None = None,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """-J: this micro-batch's part of the minibatch loss.

    Args:
        logp_N: log pi_theta of each completion token, with gradient.
        old_logp_N: log pi_old, a constant.
        ref_logp_N: log pi_ref, or None for no KL term.
        advantage_N: A_i of the token's completion.
        weight_N: from :func:`r1ray.algo.aggregation.token_weights`; holds the denominators.
        lengths_B: how many of the N tokens each row has.
        surrogate: ``clip``, or a variant: see :data:`r1ray.algo.doors.SURROGATES`.
        ratio: ``token``, or a variant: see :func:`r1ray.algo.ratio.log_ratio`.
        kl_weighted: multiply the KL term by rho (DeepSeek-V3.2).
        importance_N: multiplies the policy term, not the KL term.
        rollout_logp_N, fresh_N: for surrogates that read them, see :class:`r1ray.algo.inputs.LossInputs`; None: all
            tokens are fresh, and pi_old is the engine's.

    Returns the loss, and sums over the tokens of this micro-batch: ``policy`` and ``kl`` weighted as in the loss,
    ``clipped`` and ``kl_tokens`` plain.
    """
    ratio_N = torch.exp(log_ratio(logp_N, old_logp_N, lengths_B, level=ratio, clamp=log_ratio_clamp))  # rho_i,t
    inputs = LossInputs(
        logp_N=logp_N,
        ratio_N=ratio_N,
        old_logp_N=old_logp_N,
        rollout_logp_N=old_logp_N if rollout_logp_N is None else rollout_logp_N,
        ref_logp_N=ref_logp_N,
        advantage_N=advantage_N,
        fresh_N=torch.ones_like(logp_N, dtype=torch.bool) if fresh_N is None else fresh_N,
        lengths_B=lengths_B,
        clip_low=clip_low,
        clip_high=clip_high,
    )
    surrogate_N, is_clipped_N = SURROGATES.find(surrogate)(inputs)
    if dual_clip is not None:
        surrogate_N, is_clipped_N = bounded_below(surrogate_N, is_clipped_N, advantage_N, dual_clip=dual_clip)
    if importance_N is not None:
        surrogate_N = surrogate_N * importance_N
    policy = -(surrogate_N * weight_N).sum()
    sums = {"policy": policy.detach(), "clipped": is_clipped_N.sum().float()}
    if ref_logp_N is None:
        return policy, sums
    kl_N = kl_estimate(logp_N, ref_logp_N, estimator=kl_estimator, clamp=kl_clamp)  # D_i,t
    kl = ((kl_N * ratio_N if kl_weighted else kl_N) * weight_N).sum()
    sums |= {"kl": kl.detach(), "kl_tokens": kl_N.detach().sum()}
    return policy + kl_coefficient * kl, sums
