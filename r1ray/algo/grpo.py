"""The GRPO objective (paper section 2.2.1, equations 1 and 2), per token."""

from __future__ import annotations

import torch


def token_weights(lengths_B: torch.Tensor, *, aggregation: str, num_sequences: int, num_tokens: int) -> torch.Tensor:
    """What each completion token counts in the loss, as [N] float32 for N = sum(lengths_B).

    ``seq_mean`` (the paper's 1/G sum_i 1/|o_i| sum_t): the mean over the tokens of each output, then over the
    ``num_sequences`` outputs of the minibatch. ``token_mean``: the mean over the ``num_tokens`` tokens of the
    minibatch. Both denominators are those of the whole minibatch, over all micro-batches and ranks, so that the
    parts of a minibatch add up to the same loss however it is split.
    """
    if aggregation == "seq_mean":
        weights_B = 1.0 / (num_sequences * lengths_B.clamp(min=1).float())
    elif aggregation == "token_mean":
        weights_B = torch.full_like(lengths_B, 1.0 / num_tokens, dtype=torch.float32)
    else:
        raise ValueError(f"unknown aggregation {aggregation!r}")
    return weights_B.repeat_interleave(lengths_B)


def clipped_surrogate(
    logp_N: torch.Tensor, old_logp_N: torch.Tensor, advantage_N: torch.Tensor, *, clip_low: float, clip_high: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """min(rho A, clip(rho, 1 - clip_low, 1 + clip_high) A) of each token, and whether the clip was what counted."""
    ratio_N = torch.exp(logp_N - old_logp_N)  # rho_i,t
    free_N = ratio_N * advantage_N
    clipped_N = ratio_N.clamp(1.0 - clip_low, 1.0 + clip_high) * advantage_N
    return torch.minimum(free_N, clipped_N), clipped_N < free_N


def k3(logp_N: torch.Tensor, ref_logp_N: torch.Tensor) -> torch.Tensor:
    """D_i,t = exp(log pi_ref - log pi_theta) - (log pi_ref - log pi_theta) - 1, unclamped; never negative."""
    difference_N = ref_logp_N - logp_N
    return torch.exp(difference_N) - difference_N - 1.0


def truncated_importance(prox_logp_N: torch.Tensor, rollout_logp_N: torch.Tensor, *, cap: float) -> torch.Tensor:
    """Token-level truncated importance weights min(pi_learner / pi_rollout, cap): constants, no gradient."""
    return torch.exp(prox_logp_N - rollout_logp_N).clamp(max=cap).detach()


def grpo_loss(
    logp_N: torch.Tensor,
    old_logp_N: torch.Tensor,
    ref_logp_N: torch.Tensor | None,
    advantage_N: torch.Tensor,
    weight_N: torch.Tensor,
    *,
    clip_low: float,
    clip_high: float,
    kl_coefficient: float,
    importance_N: torch.Tensor | None = None,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """-J: this micro-batch's part of the minibatch loss.

    Args:
        logp_N: log pi_theta of each completion token, with gradient.
        old_logp_N: log pi_old, a constant.
        ref_logp_N: log pi_ref, or None for no KL term.
        advantage_N: A_i of the token's completion.
        weight_N: from :func:`token_weights`; holds the denominators.
        importance_N: multiplies the policy term, not the KL term.

    Returns the loss, and sums over the tokens of this micro-batch: ``policy`` and ``kl`` weighted as in the loss,
    ``clipped`` and ``kl_tokens`` plain.
    """
    surrogate_N, is_clipped_N = clipped_surrogate(
        logp_N, old_logp_N, advantage_N, clip_low=clip_low, clip_high=clip_high
    )
    if importance_N is not None:
        surrogate_N = surrogate_N * importance_N
    policy = -(surrogate_N * weight_N).sum()
    sums = {"policy": policy.detach(), "clipped": is_clipped_N.sum().float()}
    if ref_logp_N is None:
        return policy, sums
    kl_N = k3(logp_N, ref_logp_N)
    kl = (kl_N * weight_N).sum()
    sums |= {"kl": kl.detach(), "kl_tokens": kl_N.detach().sum()}
    return policy + kl_coefficient * kl, sums
