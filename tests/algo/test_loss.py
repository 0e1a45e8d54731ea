"""The objective put together, and its gradient against algebra."""

from __future__ import annotations

import math

import pytest
import torch

from r1ray.algo.aggregation import token_weights
from r1ray.algo.loss import grpo_loss

ONE = torch.ones(1, dtype=torch.int64)


def test_on_policy_the_gradient_is_minus_advantage_over_length() -> None:
    """At pi_theta = pi_old = pi_ref, d(-J)/d logp = -A_i / (G |o_i|)."""
    lengths, advantages = torch.tensor([2, 3]), torch.tensor([1.0, -2.0])
    logp = torch.full((5,), -1.5, requires_grad=True)
    loss, sums = grpo_loss(
        logp,
        logp.detach().clone(),
        logp.detach().clone(),
        advantages.repeat_interleave(lengths),
        token_weights(lengths, aggregation="seq_mean", num_sequences=2, num_tokens=5),
        lengths,
        clip_low=0.2,
        clip_high=0.2,
        kl_coefficient=0.1,
    )
    loss.backward()
    expected = torch.tensor([-1 / 4] * 2 + [2 / 6] * 3)
    assert logp.grad is not None and torch.allclose(logp.grad, expected, atol=1e-6)
    assert sums["clipped"].item() == 0 and sums["kl"].item() == 0


def test_on_policy_all_surrogates_and_ratios_have_one_gradient() -> None:
    lengths, advantage = torch.tensor([2, 3]), torch.tensor([1.0, 1.0, -2.0, -2.0, -2.0])
    gradients = []
    for surrogate, ratio in (("clip", "token"), ("clip", "sequence"), ("weight", "token"), ("reinforce", "token")):
        logp = torch.full((5,), -1.5, requires_grad=True)
        loss, _ = grpo_loss(
            logp,
            logp.detach().clone(),
            None,
            advantage,
            torch.full((5,), 0.2),
            lengths,
            clip_low=0.2,
            clip_high=0.2,
            kl_coefficient=0.0,
            surrogate=surrogate,
            ratio=ratio,
        )
        loss.backward()
        assert logp.grad is not None
        gradients.append(logp.grad)
    assert all(torch.allclose(gradient, -0.2 * advantage) for gradient in gradients)


def test_without_a_reference_nothing_of_the_kl_term_exists() -> None:
    logp = torch.zeros(1, requires_grad=True)
    _, sums = grpo_loss(
        logp, torch.zeros(1), None, torch.ones(1), torch.ones(1), ONE, clip_low=0.2, clip_high=0.2, kl_coefficient=0.5
    )
    assert set(sums) == {"policy", "clipped"}


def test_a_clipped_token_has_no_gradient_and_is_counted() -> None:
    logp = torch.tensor([math.log(1.5)], requires_grad=True)
    loss, sums = grpo_loss(
        logp, torch.zeros(1), None, torch.ones(1), torch.ones(1), ONE, clip_low=0.2, clip_high=0.2, kl_coefficient=0.0
    )
    loss.backward()
    assert logp.grad is not None and logp.grad.item() == 0.0
    assert sums["clipped"].item() == 1


def test_importance_weights_scale_the_policy_term_alone() -> None:
    arguments = (torch.zeros(1), torch.zeros(1), torch.tensor([-1.0]), torch.ones(1), torch.ones(1), ONE)
    options = {"clip_low": 0.2, "clip_high": 0.2, "kl_coefficient": 1.0}
    _, plain = grpo_loss(*arguments, **options)
    _, halved = grpo_loss(*arguments, **options, importance_N=torch.tensor([0.5]))
    assert halved["policy"].item() == pytest.approx(plain["policy"].item() / 2)
    assert halved["kl"].item() == plain["kl"].item()


def test_a_weighted_kl_has_the_gradient_of_the_reverse_kl_whatever_the_policy_that_sampled() -> None:
    """Over all tokens of a distribution, sum_v pi_old(v) rho k3 has the gradient of KL(pi_theta || pi_ref)."""
    torch.manual_seed(0)
    logits, old, ref = torch.randn(3, 7, dtype=torch.float64)
    logits.requires_grad_()
    logp, old_logp, ref_logp = (torch.log_softmax(each, dim=0) for each in (logits, old, ref))

    def gradient(kl_weighted: bool) -> torch.Tensor:
        loss, _ = grpo_loss(
            *(logp, old_logp, ref_logp, torch.zeros(7), old_logp.exp(), torch.tensor([7])),
            clip_low=0.2,
            clip_high=0.2,
            kl_coefficient=1.0,
            kl_weighted=kl_weighted,
        )
        return torch.autograd.grad(loss, logits, retain_graph=True)[0]

    (expected,) = torch.autograd.grad((logp.exp() * (logp - ref_logp)).sum(), logits, retain_graph=True)
    assert torch.allclose(gradient(True), expected, atol=1e-12)
    assert not torch.allclose(gradient(False), expected, atol=0.01)


def test_the_surrogate_has_to_be_known() -> None:
    with pytest.raises(ValueError, match="unknown surrogate"):
        grpo_loss(
            *(torch.zeros(1), torch.zeros(1), None, torch.ones(1), torch.ones(1), ONE),
            clip_low=0.2,
            clip_high=0.2,
            kl_coefficient=0.0,
            surrogate="ppo",
        )
