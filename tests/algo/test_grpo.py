"""The objective against numbers worked out by hand, and its gradient against autograd and algebra."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from r1ray.algo.grpo import clipped_surrogate, grpo_loss, k3, token_weights, truncated_importance


def surrogate(ratio: float, advantage: float, low: float, high: float) -> float:
    value, _ = clipped_surrogate(
        torch.tensor([math.log(ratio)]), torch.zeros(1), torch.tensor([advantage]), clip_low=low, clip_high=high
    )
    return -value.item()


@pytest.mark.parametrize(
    ("ratio", "advantage", "ppo", "higher", "paper"),
    [
        (1.5, 1, -1.2, -1.28, -1.5),
        (0.5, 1, -0.5, -0.5, -0.5),
        (1.5, -1, 1.5, 1.5, 1.5),
        (5.0, -1, 5.0, 5.0, 5.0),
        (0.5, -1, 0.8, 0.8, 0.5),
    ],
)
def test_the_clip_of_three_conventions(ratio: float, advantage: float, ppo: float, higher: float, paper: float) -> None:
    assert surrogate(ratio, advantage, 0.2, 0.2) == pytest.approx(ppo, abs=1e-6)
    assert surrogate(ratio, advantage, 0.2, 0.28) == pytest.approx(higher, abs=1e-6)
    assert surrogate(ratio, advantage, 10, 10) == pytest.approx(paper, abs=1e-6)


@pytest.mark.parametrize(
    ("logp", "ref", "value", "gradient"),
    [
        (-1.0, -1.2, 0.018731, 0.181269),
        (-1.0, -0.5, 0.148721, -0.648721),
        (-0.1, -3.0, 1.955023, 0.944977),
        (-5.0, -0.2, 115.710418, -120.510418),
    ],
)
def test_k3_is_unclamped_and_has_its_own_gradient(logp: float, ref: float, value: float, gradient: float) -> None:
    x = torch.tensor([logp], dtype=torch.float64, requires_grad=True)
    out = k3(x, torch.tensor([ref], dtype=torch.float64))
    out.sum().backward()
    assert out.item() == pytest.approx(value, abs=1e-6)
    assert x.grad is not None and x.grad.item() == pytest.approx(gradient, abs=1e-6)


@given(st.floats(-20, 0), st.floats(-20, 0))
def test_k3_is_never_negative(logp: float, ref: float) -> None:
    assert k3(torch.tensor(logp, dtype=torch.float64), torch.tensor(ref, dtype=torch.float64)).item() >= 0


def test_two_aggregations_of_one_batch_differ_even_in_sign() -> None:
    """Two sequences of lengths 2 (loss +1 each token) and 6 (loss -0.5 each)."""
    lengths = torch.tensor([2, 6])
    per_token = torch.tensor([1.0] * 2 + [-0.5] * 6)
    token = token_weights(lengths, aggregation="token_mean", num_sequences=2, num_tokens=8)
    sequence = token_weights(lengths, aggregation="seq_mean", num_sequences=2, num_tokens=8)
    assert (per_token * token).sum().item() == pytest.approx(-0.125)
    assert (per_token * sequence).sum().item() == pytest.approx(0.25)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.sampled_from(["seq_mean", "token_mean"]))
def test_weights_of_a_whole_minibatch_sum_to_one_however_it_is_split(lengths: list[int], aggregation: str) -> None:
    totals = {"num_sequences": len(lengths), "num_tokens": sum(lengths)}
    parts = [token_weights(torch.tensor([n]), aggregation=aggregation, **totals) for n in lengths]
    assert sum(part.sum().item() for part in parts) == pytest.approx(1.0, rel=1e-5)
    whole = token_weights(torch.tensor(lengths), aggregation=aggregation, **totals)
    assert torch.allclose(torch.cat(parts), whole)


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
        clip_low=0.2,
        clip_high=0.2,
        kl_coefficient=0.1,
    )
    loss.backward()
    expected = torch.tensor([-1 / 4] * 2 + [2 / 6] * 3)
    assert torch.allclose(logp.grad, expected, atol=1e-6)
    assert sums["clipped"].item() == 0 and sums["kl"].item() == 0


def test_without_a_reference_nothing_of_the_kl_term_exists() -> None:
    logp = torch.zeros(1, requires_grad=True)
    _, sums = grpo_loss(
        logp, torch.zeros(1), None, torch.ones(1), torch.ones(1), clip_low=0.2, clip_high=0.2, kl_coefficient=0.5
    )
    assert set(sums) == {"policy", "clipped"}


def test_a_clipped_token_has_no_gradient_and_is_counted() -> None:
    logp = torch.tensor([math.log(1.5)], requires_grad=True)
    loss, sums = grpo_loss(
        logp, torch.zeros(1), None, torch.ones(1), torch.ones(1), clip_low=0.2, clip_high=0.2, kl_coefficient=0.0
    )
    loss.backward()
    assert logp.grad is not None and logp.grad.item() == 0.0
    assert sums["clipped"].item() == 1


def test_importance_weights_are_truncated_above_and_carry_no_gradient() -> None:
    prox = torch.tensor([0.0, 0.0], requires_grad=True)
    weights = truncated_importance(prox, torch.tensor([-5.0, 1.0]), cap=2.0)
    assert weights.tolist() == [2.0, pytest.approx(math.exp(-1))]
    assert not weights.requires_grad


def test_importance_weights_scale_the_policy_term_alone() -> None:
    arguments = (torch.zeros(1), torch.zeros(1), torch.tensor([-1.0]), torch.ones(1), torch.ones(1))
    options = {"clip_low": 0.2, "clip_high": 0.2, "kl_coefficient": 1.0}
    _, plain = grpo_loss(*arguments, **options)
    _, halved = grpo_loss(*arguments, **options, importance_N=torch.tensor([0.5]))
    assert halved["policy"].item() == pytest.approx(plain["policy"].item() / 2)
    assert halved["kl"].item() == plain["kl"].item()
