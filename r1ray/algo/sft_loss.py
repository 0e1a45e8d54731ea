"""Supervised objectives: imitation of given answers (paper sections 2.3.1, 2.3.3 and 2.4), and preferences between
two of them (the reward model of section 2.3.4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def nll_loss(logp_N: torch.Tensor, weights_N: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return the negative log-likelihood -sum_t w_t log pi(o_t | q, o_<t): this micro-batch's part of the minibatch
    loss.

    Args:
        logp_N: log pi_theta of each token in the loss, with gradient.
        weights_N: their weights, from :func:`r1ray.algo.aggregation.token_weights`; they hold the denominators
            (``token_mean``: over all tokens in the loss of the minibatch). A token of weight 0 is not in the loss.

    Returns the loss, and sums over the tokens in the loss: ``nll`` (nats, unweighted) and ``terms``.

    >>> loss, sums = nll_loss(torch.tensor([-1.0, -3.0]), torch.tensor([0.5, 0.5]))
    >>> loss.item(), sums["nll"].item(), sums["terms"].item()
    (2.0, 4.0, 2.0)
    """
    in_loss_N = weights_N != 0
    sums = {"nll": -(logp_N.detach() * in_loss_N).sum(), "terms": in_loss_N.sum().float()}
    return -(logp_N * weights_N).sum(), sums


def bradley_terry_loss(
    chosen_score_B: torch.Tensor, rejected_score_B: torch.Tensor, margin_B: torch.Tensor, *, num_pairs: int
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return -log sigmoid(r_chosen - r_rejected - margin), summed over these pairs and divided by ``num_pairs``: the
    mean over the pairs of the minibatch (Bradley and Terry 1952; Ouyang et al. 2022, equation 1; with the margin of
    Touvron et al. 2023, equation 2).

    Args:
        chosen_score_B: r(q, o) of the preferred answers, with gradient; reward models score the last token.
        margin_B: required difference of the two scores; constants.
        num_pairs: pairs of the minibatch over all micro-batches and ranks.

    Returns the loss, and sums over these pairs: ``nll`` (unweighted), ``terms``, ``correct`` (the preferred answer has
    the higher score, whatever the margin), ``margin`` (r_chosen - r_rejected), ``chosen_score`` and ``rejected_score``.

    >>> loss, sums = bradley_terry_loss(torch.tensor([2.0]), torch.tensor([2.0]), torch.tensor([0.0]), num_pairs=1)
    >>> round(loss.item(), 4), sums["correct"].item()
    (0.6931, 0.0)
    """
    difference_B = chosen_score_B.float() - rejected_score_B.float()
    nll_B = -F.logsigmoid(difference_B - margin_B)
    chosen_B, rejected_B = chosen_score_B.detach().float(), rejected_score_B.detach().float()
    sums = {
        "nll": nll_B.detach().sum(),
        "terms": torch.full_like(nll_B.detach(), 1.0).sum(),
        "correct": (chosen_B > rejected_B).sum().float(),
        "margin": difference_B.detach().sum(),
        "chosen_score": chosen_B.sum(),
        "rejected_score": rejected_B.sum(),
    }
    return nll_B.sum() / num_pairs, sums
