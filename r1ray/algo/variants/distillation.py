"""On-policy distillation: the reverse KL to a teacher as an advantage of each token (Agarwal et al. 2024, GKD)."""

from __future__ import annotations

import torch


def less_reverse_kl(
    advantage_N: torch.Tensor, logp_N: torch.Tensor, teacher_logp_N: torch.Tensor, *, coefficient: float
) -> torch.Tensor:
    """Return A_i + coefficient (log pi_teacher - log pi_theta) of each token, a constant.

    On tokens that the policy samples, the mean of the second term is minus the reverse KL, KL(pi_theta || pi_teacher),
    and the policy gradient of both is that of ``A_i`` less ``coefficient`` times the KL at each token, given the tokens
    before it: a token answers for itself, and not for what comes after it.

    Args:
        logp_N: log pi_theta, as it is now and not as it was when the tokens were sampled.
        teacher_logp_N: log pi_teacher at the same temperature.

    >>> logp, teacher = torch.tensor([0.5, 0.25]).log(), torch.tensor([0.25, 0.5]).log()
    >>> less_reverse_kl(torch.tensor([1.0, 1.0]), logp, teacher, coefficient=1.0)
    tensor([0.3069, 1.6931])
    """
    return advantage_N + coefficient * (teacher_logp_N - logp_N.detach())
