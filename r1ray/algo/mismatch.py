"""Weights for the mismatch between the engine that sampled and the learner that trains."""

from __future__ import annotations

import torch

from r1ray.algo.aggregation import row_means, row_sums


def importance_weights(
    prox_logp_N: torch.Tensor,
    rollout_logp_N: torch.Tensor,
    lengths_B: torch.Tensor,
    *,
    correction: str,
    cap: float,
    floor: float = 0.0,
) -> torch.Tensor:
    """Return the weight of each token, [N], constants without gradient. With w = pi_learner / pi_rollout of the token:

    ``token_tis``: w, clamped to floor and cap (truncated importance weights). ``token_mask``: w, or 0 if w is outside
    of them (IcePop). ``sequence_tis`` and ``sequence_mask``: the same for the product of w over the tokens of the
    output; all its tokens get this weight (TRL). ``geometric_mask``: w of the token itself, or 0 for outputs whose
    geometric mean of w is outside (OpenRLHF, NeMo-RL: seq-mask-tis).

    A token with weight 0 still counts in the denominators of the loss.
    """
    log_weight_N = (prox_logp_N - rollout_logp_N).detach()
    level, _, action = correction.partition("_")
    if level == "token":
        judged_N = torch.exp(log_weight_N)
    elif level == "sequence":
        judged_N = torch.exp(row_sums(log_weight_N, lengths_B)).repeat_interleave(lengths_B)
    elif correction == "geometric_mask":
        judged_N = torch.exp(row_means(log_weight_N, lengths_B)).repeat_interleave(lengths_B)
    else:
        raise ValueError(f"unknown correction {correction!r}")
    if action == "tis":
        return judged_N.clamp(floor, cap)
    weight_N = torch.exp(log_weight_N) if level == "geometric" else judged_N
    return torch.where((judged_N >= floor) & (judged_N <= cap), weight_N, 0.0)
