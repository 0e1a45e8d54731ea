"""From log-probabilities to the loss of a micro-batch: rho, then :func:`r1ray.algo.grpo.objective`."""

from __future__ import annotations

import torch

from r1ray.algo.grpo import objective
from r1ray.algo.inputs import LossInputs
from r1ray.algo.ratio import log_ratio
from r1ray.algo.variants.distillation import less_reverse_kl


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
    teacher_logp_N: torch.Tensor | None = None,
    teacher_coefficient: float = 1.0,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return this micro-batch's part of the minibatch loss, and its sums, as of :func:`r1ray.algo.grpo.objective`.

    Args:
        logp_N: log pi_theta of each completion token, with gradient.
        old_logp_N: log pi_old, a constant.
        ref_logp_N: log pi_ref, or None for no KL term.
        advantage_N: A_i of the token's completion.
        weight_N: from :func:`r1ray.algo.aggregation.token_weights`; holds the denominators.
        lengths_B: how many of the N tokens each row has.
        surrogate: ``clip``, or a variant: see :data:`r1ray.algo.doors.SURROGATES`.
        ratio: ``token``, or a variant: see :func:`r1ray.algo.ratio.log_ratio`.
        rollout_logp_N, fresh_N: for surrogates that read them, see :class:`r1ray.algo.inputs.LossInputs`; None: all
            tokens are fresh, and pi_old is the engine's.
        teacher_logp_N: log pi_teacher, whose reverse KL is taken off the advantages; None: no teacher.
    """
    if teacher_logp_N is not None:
        advantage_N = less_reverse_kl(advantage_N, logp_N, teacher_logp_N, coefficient=teacher_coefficient)
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
        teacher_logp_N=teacher_logp_N,
    )
    return objective(
        inputs,
        weight_N,
        surrogate=surrogate,
        dual_clip=dual_clip,
        importance_N=importance_N,
        kl_coefficient=kl_coefficient,
        kl_estimator=kl_estimator,
        kl_clamp=kl_clamp,
        kl_weighted=kl_weighted,
    )
