"""Routers of a mixture of experts: the weights of chosen experts, and load-balancing losses and biases.

Axes: ``T`` tokens, ``E`` experts, ``K`` experts of a token, ``B`` sequences.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

SCORINGS = ("softmax", "sigmoid")


def expert_scores(logits_TE: torch.Tensor, *, scoring: str) -> torch.Tensor:
    """Return the score of each expert, [T, E] float32: ``softmax`` over the experts, or each one's own ``sigmoid``."""
    logits_TE = logits_TE.float()
    return torch.softmax(logits_TE, dim=-1) if scoring == "softmax" else torch.sigmoid(logits_TE)


def expert_weights(
    logits_TE: torch.Tensor, chosen_TK: torch.Tensor, *, scoring: str, is_normalised: bool, scale: float = 1.0
) -> torch.Tensor:
    """Return the weights of given experts, [T, K] float32: their scores times ``scale``, first divided by the sum over
    the chosen ones if ``is_normalised``."""
    weights_TK = expert_scores(logits_TE, scoring=scoring).gather(1, chosen_TK)
    if is_normalised:
        weights_TK = weights_TK / (weights_TK.sum(dim=-1, keepdim=True) + 1e-20)
    return weights_TK * scale


def expert_load(chosen_TK: torch.Tensor, *, num_experts: int) -> torch.Tensor:
    """Count the tokens that chose each expert, [E] int64."""
    return torch.bincount(chosen_TK.reshape(-1), minlength=num_experts)


def switch_loss(logits: Sequence[torch.Tensor], chosen: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return E sum_e f_e P_e (Switch Transformers, arXiv 2101.03961, equations 4 to 6; in the form of transformers'
    ``load_balancing_loss_func``): f_e is how often a token chooses expert e, P_e its mean probability, both over
    all tokens of all layers.

    Args:
        logits: router logits of each layer, [T, E].
        chosen: chosen experts of each layer, [T, K].
    """
    num_experts, num_rows = logits[0].shape[1], sum(len(each) for each in logits)
    load_E = torch.stack([expert_load(each, num_experts=num_experts) for each in chosen]).sum(dim=0)
    probability_E = torch.stack([expert_scores(each, scoring="softmax").sum(dim=0) for each in logits]).sum(dim=0)
    return num_experts * (load_E / num_rows * probability_E / num_rows).sum()


def sequence_loss(logits_TE: torch.Tensor, chosen_TK: torch.Tensor, sequence_T: torch.Tensor) -> torch.Tensor:
    """Return the mean over sequences of sum_e f_e P_e (DeepSeek-V3, arXiv 2412.19437, equations 17 to 20): f_e is the
    share of a sequence's choices that expert e has, times E; P_e the mean over its tokens of the sigmoid's share of e.

    Args:
        sequence_T: the number of each token's sequence, from 0.
    """
    num_experts, num_sequences = logits_TE.shape[1], int(sequence_T.max()) + 1
    scores_TE = expert_scores(logits_TE, scoring="sigmoid")
    share_TE = scores_TE / (scores_TE.sum(dim=-1, keepdim=True) + 1e-20)
    choices_TE = torch.zeros_like(scores_TE).scatter_(1, chosen_TK, 1.0)
    length_B1 = torch.bincount(sequence_T, minlength=num_sequences).unsqueeze(1)
    f_BE, p_BE = (
        torch.zeros(num_sequences, num_experts, device=logits_TE.device).index_add(0, sequence_T, each) / length_B1
        for each in (choices_TE * num_experts / chosen_TK.shape[1], share_TE)
    )
    return (f_BE * p_BE).sum() / num_sequences


def moved_bias(bias_E: torch.Tensor, load_E: torch.Tensor, *, speed: float) -> torch.Tensor:
    """Return b_e + speed * sign(mean load - load_e) (DeepSeek-V3, arXiv 2412.19437, section 2.1.2)."""
    load_E = load_E.float()
    return bias_E + speed * torch.sign(load_E.mean() - load_E)
