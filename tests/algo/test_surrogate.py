"""Surrogates against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from r1ray.algo.surrogate import clipped
from r1ray.algo.variants.cispo import weighted
from r1ray.algo.variants.dual_clip import bounded_below
from r1ray.algo.variants.reinforce import reinforce
from tests.algo.inputs import loss_inputs


def objective(
    ratio_N: torch.Tensor, advantage: float, low: float, high: float, dual: float | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The paper's surrogate of one token, with dual-clip PPO's bound where there is one."""
    advantage_N = torch.tensor([advantage])
    value, is_clipped = clipped(loss_inputs(ratio_N, ratio_N.log(), advantage_N, clip_low=low, clip_high=high))
    return (value, is_clipped) if dual is None else bounded_below(value, is_clipped, advantage_N, dual_clip=dual)


def loss(ratio: float, advantage: float, low: float, high: float, dual: float | None = None) -> float:
    value, _ = objective(torch.tensor([ratio]), advantage, low, high, dual)
    return -value.item()


@pytest.mark.parametrize(
    ("ratio", "advantage", "ppo", "dual", "higher", "paper"),
    [
        (1.5, 1, -1.2, -1.2, -1.28, -1.5),
        (0.5, 1, -0.5, -0.5, -0.5, -0.5),
        (1.5, -1, 1.5, 1.5, 1.5, 1.5),
        (5.0, -1, 5.0, 3.0, 5.0, 5.0),
        (0.5, -1, 0.8, 0.8, 0.8, 0.5),
    ],
)
def test_the_clip_of_four_conventions(
    ratio: float, advantage: float, ppo: float, dual: float, higher: float, paper: float
) -> None:
    assert loss(ratio, advantage, 0.2, 0.2) == pytest.approx(ppo, abs=1e-6)
    assert loss(ratio, advantage, 0.2, 0.2, 3.0) == pytest.approx(dual, abs=1e-6)
    assert loss(ratio, advantage, 0.2, 0.28) == pytest.approx(higher, abs=1e-6)
    assert loss(ratio, advantage, 10, 10) == pytest.approx(paper, abs=1e-6)


@given(st.floats(0.01, 20), st.floats(0, 5))
def test_the_dual_clip_touches_only_negative_advantages(ratio: float, advantage: float) -> None:
    assert loss(ratio, advantage, 0.2, 0.2, 3.0) == loss(ratio, advantage, 0.2, 0.2)


@pytest.mark.parametrize(("ratio", "advantage", "dual"), [(1.5, 1.0, None), (0.5, -1.0, None), (5.0, -1.0, 3.0)])
def test_a_clipped_token_has_no_gradient_and_is_counted(ratio: float, advantage: float, dual: float | None) -> None:
    ratio_N = torch.tensor([ratio], requires_grad=True)
    surrogate, is_clipped = objective(ratio_N, advantage, 0.2, 0.2, dual)
    surrogate.sum().backward()
    assert ratio_N.grad is not None and ratio_N.grad.item() == 0.0
    assert is_clipped.item()


def test_a_clipped_weight_bounds_the_gradient_and_never_takes_it_away() -> None:
    logp = torch.tensor([math.log(6.0), math.log(0.5)], requires_grad=True)
    inputs = loss_inputs(logp.exp(), logp, torch.tensor([2.0, -1.0]), clip_low=10.0, clip_high=4.0)
    surrogate, is_clipped = weighted(inputs)
    surrogate.sum().backward()
    assert logp.grad is not None and logp.grad.tolist() == pytest.approx([5.0 * 2.0, 0.5 * -1.0])
    assert surrogate.tolist() == pytest.approx([10.0 * math.log(6.0), -0.5 * math.log(0.5)])
    assert is_clipped.tolist() == [True, False]


def test_plain_reinforce_has_the_advantage_as_its_gradient() -> None:
    logp = torch.tensor([-1.0, -3.0], requires_grad=True)
    surrogate, is_clipped = reinforce(loss_inputs(logp.exp(), logp, torch.tensor([2.0, -1.0])))
    surrogate.sum().backward()
    assert surrogate.tolist() == [-2.0, 3.0]
    assert logp.grad is not None and logp.grad.tolist() == [2.0, -1.0]
    assert not is_clipped.any()
