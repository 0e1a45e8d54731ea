"""Supervised losses against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from r1ray.algo.aggregation import token_weights
from r1ray.algo.sft_loss import bradley_terry_loss, nll_loss

SCORES = st.lists(st.tuples(st.floats(-20, 20), st.floats(-20, 20), st.floats(-3, 3)), min_size=1, max_size=6)


def columns(rows: list[tuple[float, float, float]]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    chosen, rejected, margin = (torch.tensor(column) for column in zip(*rows, strict=True))
    return chosen, rejected, margin


def test_the_loss_is_the_mean_over_all_tokens_of_the_minibatch() -> None:
    logp = torch.tensor([-1.0, -2.0, -6.0], requires_grad=True)
    weights = token_weights(torch.tensor([2, 1]), aggregation="token_mean", num_sequences=2, num_tokens=3)
    loss, sums = nll_loss(logp, weights)
    assert loss.item() == pytest.approx(3.0)
    assert (sums["nll"].item(), sums["terms"].item()) == (9.0, 3.0)
    loss.backward()
    assert logp.grad is not None and logp.grad.tolist() == pytest.approx([-1 / 3] * 3)


def test_a_token_of_weight_0_counts_nowhere() -> None:
    loss, sums = nll_loss(torch.tensor([-1.0, -100.0]), torch.tensor([1.0, 0.0]))
    assert (loss.item(), sums["nll"].item(), sums["terms"].item()) == (1.0, 1.0, 1.0)


@given(st.lists(st.floats(-30, 0), min_size=2, max_size=12), st.data())
def test_the_parts_of_a_minibatch_add_up_to_its_loss(logp: list[float], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(logp)))
    values, weights = torch.tensor(logp, dtype=torch.float64), torch.full((len(logp),), 1 / len(logp))
    whole, sums = nll_loss(values, weights)
    parts = [nll_loss(values[part], weights[part]) for part in (slice(0, cut), slice(cut, None))]
    assert sum(loss.item() for loss, _ in parts) == pytest.approx(whole.item(), rel=1e-9)
    assert sum(s["terms"].item() for _, s in parts) == sums["terms"].item()


def test_bradley_terry_by_hand() -> None:
    loss, sums = bradley_terry_loss(
        torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0]), torch.tensor([0.0, 1.0]), num_pairs=4
    )
    first, second = math.log(1 + math.exp(-1.0)), math.log(1 + math.exp(3.0))
    assert loss.item() == pytest.approx((first + second) / 4)
    assert sums["nll"].item() == pytest.approx(first + second)
    metrics = {name: sums[name].item() for name in ("terms", "correct", "margin", "chosen_score", "rejected_score")}
    assert metrics == {"terms": 2.0, "correct": 1.0, "margin": -1.0, "chosen_score": 1.0, "rejected_score": 2.0}


def test_equal_scores_are_not_correct() -> None:
    loss, sums = bradley_terry_loss(torch.zeros(1), torch.zeros(1), torch.zeros(1), num_pairs=1)
    assert (loss.item(), sums["correct"].item()) == (pytest.approx(math.log(2)), 0.0)


def test_no_pairs_are_no_loss() -> None:
    loss, sums = bradley_terry_loss(torch.zeros(0), torch.zeros(0), torch.zeros(0), num_pairs=3)
    assert loss.item() == 0.0 and sums["terms"].item() == 0.0


def test_low_precision_scores_are_compared_in_float32() -> None:
    one, small = torch.tensor([300.0], dtype=torch.bfloat16), torch.tensor([298.0], dtype=torch.bfloat16)
    loss, _ = bradley_terry_loss(one, small, torch.tensor([0.5]), num_pairs=1)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-1.5)))


@given(SCORES, st.floats(-50, 50))
def test_only_differences_of_scores_count(rows: list[tuple[float, float, float]], shift: float) -> None:
    chosen, rejected, margin = columns(rows)
    loss, _ = bradley_terry_loss(chosen, rejected, margin, num_pairs=len(rows))
    shifted, _ = bradley_terry_loss(chosen + shift, rejected + shift, margin, num_pairs=len(rows))
    assert shifted.item() == pytest.approx(loss.item(), abs=1e-4, rel=1e-4)


@given(SCORES)
def test_a_margin_is_a_lower_score_of_the_chosen_one(rows: list[tuple[float, float, float]]) -> None:
    chosen, rejected, margin = columns(rows)
    with_margin, _ = bradley_terry_loss(chosen, rejected, margin, num_pairs=1)
    without, _ = bradley_terry_loss(chosen - margin, rejected, torch.zeros_like(margin), num_pairs=1)
    assert with_margin.item() == pytest.approx(without.item(), abs=1e-4, rel=1e-4)


@given(SCORES)
def test_the_gradient_raises_the_chosen_score_and_lowers_the_other_by_as_much(
    rows: list[tuple[float, float, float]],
) -> None:
    chosen, rejected, margin = columns(rows)
    chosen.requires_grad_()
    rejected.requires_grad_()
    loss, _ = bradley_terry_loss(chosen, rejected, margin, num_pairs=len(rows))
    loss.backward()
    assert chosen.grad is not None and rejected.grad is not None
    assert bool((chosen.grad <= 0).all()) and torch.equal(chosen.grad, -rejected.grad)
    expected = -torch.sigmoid(-(chosen - rejected - margin).detach()) / len(rows)
    assert chosen.grad.tolist() == pytest.approx(expected.tolist(), abs=1e-6)
