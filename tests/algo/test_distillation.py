"""On-policy distillation against numbers worked out by hand, and its gradient against that of the reverse KL."""

from __future__ import annotations

import math

import pytest
import torch

from r1ray.algo.inputs import LossInputs
from r1ray.algo.loss import grpo_loss
from r1ray.algo.variants.distillation import less_reverse_kl

POLICY, TEACHER = torch.tensor([0.5, 0.25, 0.125, 0.125]), torch.tensor([0.25, 0.25, 0.125, 0.375])
"""Distributions over four tokens: KL(policy || teacher) = 1/2 ln 2 - 1/8 ln 3."""
OPTIONS = {"clip_low": 10.0, "clip_high": 10.0, "kl_coefficient": 0.0}


def test_a_token_is_worth_how_much_likelier_the_teacher_finds_it() -> None:
    """Tokens 0, 1 and 3: the teacher finds the first half as likely, the second as likely, the last three times so."""
    chosen = [0, 1, 3]
    logp, teacher = POLICY.log()[chosen], TEACHER.log()[chosen]
    found = less_reverse_kl(torch.tensor([1.0, 1.0, -1.0]), logp, teacher, coefficient=0.5)
    by_hand = [1.0 - 0.5 * math.log(2), 1.0, -1.0 + 0.5 * math.log(3)]
    assert found.tolist() == pytest.approx(by_hand, abs=1e-6)


def test_the_loss_of_two_outputs_is_the_one_worked_out_by_hand() -> None:
    """Outputs (0, 1) and (3), on policy, weights of a mean over outputs of a mean over tokens: 1/4, 1/4, 1/2."""
    chosen = [0, 1, 3]
    logp = POLICY.log()[chosen].requires_grad_()
    weights, lengths = torch.tensor([0.25, 0.25, 0.5]), torch.tensor([2, 1])
    loss, _ = grpo_loss(
        logp,
        logp.detach(),
        None,
        torch.zeros(3),
        weights,
        lengths,
        teacher_logp_N=TEACHER.log()[chosen],
        **OPTIONS,  # type: ignore[arg-type]
    )
    assert loss.item() == pytest.approx(0.25 * math.log(2) - 0.5 * math.log(3), abs=1e-6)
    loss.backward()
    # A token is made likelier by what the teacher finds it likelier, and answers for no other.
    assert logp.grad is not None
    assert logp.grad.tolist() == pytest.approx([0.25 * math.log(2), 0.0, -0.5 * math.log(3)], abs=1e-6)


@pytest.mark.parametrize("behind", [0.0, 0.7])
@pytest.mark.parametrize("surrogate", ["clip", "weight"])
def test_the_expected_gradient_is_that_of_the_reverse_kl(behind: float, surrogate: str) -> None:
    """Over all tokens, each as often as the policy that sampled it says, which may be ``behind`` the one trained."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(9, generator=generator, dtype=torch.float64).requires_grad_()
    teacher = torch.log_softmax(torch.randn(9, generator=generator, dtype=torch.float64), dim=0)
    logp = torch.log_softmax(logits, dim=0)
    old = torch.log_softmax(logits.detach() + behind * torch.randn(9, generator=generator).double(), dim=0)
    (expected,) = torch.autograd.grad((logp.exp() * (logp - teacher)).sum(), logits, retain_graph=True)
    loss, _ = grpo_loss(
        logp,
        old,
        None,
        torch.zeros(9, dtype=torch.float64),
        old.exp(),
        torch.tensor([9]),
        teacher_logp_N=teacher,
        surrogate=surrogate,
        **OPTIONS,  # type: ignore[arg-type]
    )
    (found,) = torch.autograd.grad(loss, logits)
    assert expected.norm() > 0.1 and torch.allclose(found, expected, atol=1e-12)


def test_the_expected_value_is_the_reverse_kl_worked_out_by_hand() -> None:
    value = -(POLICY * less_reverse_kl(torch.zeros(4), POLICY.log(), TEACHER.log(), coefficient=1.0)).sum()
    assert value.item() == pytest.approx(0.5 * math.log(2) - 0.125 * math.log(3), abs=1e-6)


def test_a_policy_that_is_its_teacher_has_nothing_to_learn_but_from_rewards() -> None:
    assert less_reverse_kl(torch.zeros(4), POLICY.log(), POLICY.log(), coefficient=3.0).tolist() == [0.0] * 4
    beside = less_reverse_kl(torch.full((4,), 2.0), POLICY.log(), POLICY.log(), coefficient=3.0)
    assert beside.tolist() == [2.0] * 4


def test_a_users_own_loss_is_given_the_teacher() -> None:
    logp = POLICY.log().requires_grad_()
    loss, _ = grpo_loss(
        logp,
        logp.detach(),
        None,
        torch.zeros(4),
        torch.full((4,), 0.25),
        torch.tensor([4]),
        teacher_logp_N=TEACHER.log(),
        surrogate=f"{__name__}:imitated",
        **OPTIONS,  # type: ignore[arg-type]
    )
    by_hand = -sum(t * math.log(p) for t, p in zip(TEACHER.tolist(), POLICY.tolist(), strict=True)) / 4
    assert loss.item() == pytest.approx(by_hand, abs=1e-6)


def imitated(inputs: LossInputs) -> tuple[torch.Tensor, torch.Tensor]:
    """Weigh a token by the teacher's probability."""
    assert inputs.teacher_logp_N is not None
    return inputs.teacher_logp_N.exp() * inputs.logp_N, torch.zeros_like(inputs.logp_N, dtype=torch.bool)
