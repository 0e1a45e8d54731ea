"""Losses, weights and biases of routers, worked out by hand and against transformers."""

from __future__ import annotations

import pytest
import torch
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

from r1ray.algo.routing import expert_load, expert_weights, moved_bias, sequence_loss, switch_loss

LOGITS = torch.log(torch.tensor([[1.0, 3.0, 4.0], [4.0, 4.0, 2.0]]))  # softmax: 1/8, 3/8, 1/2 and 2/5, 2/5, 1/5


@pytest.mark.parametrize(
    ("scoring", "is_normalised", "expected"),
    [
        ("softmax", False, [[0.5, 0.125], [0.2, 0.4]]),
        ("softmax", True, [[0.8, 0.2], [1 / 3, 2 / 3]]),
        ("sigmoid", False, [[0.8, 0.5], [2 / 3, 0.8]]),  # x / (1 + x)
        ("sigmoid", True, [[8 / 13, 5 / 13], [5 / 11, 6 / 11]]),
    ],
)
def test_weights_are_of_the_given_experts(scoring: str, is_normalised: bool, expected: list[list[float]]) -> None:
    chosen = torch.tensor([[2, 0], [2, 0]])
    found = expert_weights(LOGITS, chosen, scoring=scoring, is_normalised=is_normalised, scale=2.0)
    assert torch.allclose(found, 2.0 * torch.tensor(expected))


def test_the_loss_of_switch_transformers_is_load_times_probability() -> None:
    """f = 1/2, 1/2, 0 and P = (1/8 + 2/5) / 2, ...: the mean over two tokens, times three experts."""
    found = switch_loss([LOGITS], [torch.tensor([[1], [0]])])
    assert found.item() == pytest.approx(3 * (0.5 * (0.125 + 0.4) / 2 + 0.5 * (0.375 + 0.4) / 2))


def test_the_loss_of_switch_transformers_and_its_gradient_are_those_of_transformers() -> None:
    ours, theirs = ([torch.randn(7, 5, generator=torch.Generator().manual_seed(i)) for i in range(3)] for _ in range(2))
    for each in (*ours, *theirs):
        each.requires_grad_()
    chosen = [torch.topk(torch.softmax(each, dim=-1), 2).indices for each in ours]
    expected = load_balancing_loss_func(tuple(theirs), num_experts=5, top_k=2)
    found = switch_loss(ours, chosen)
    assert torch.allclose(found, expected, atol=1e-6)
    pairs = zip(torch.autograd.grad(found, ours), torch.autograd.grad(expected, theirs), strict=True)
    assert all(torch.allclose(a, b, atol=1e-7) for a, b in pairs)


def test_the_loss_of_deepseek_is_a_mean_over_sequences() -> None:
    """Sigmoid scores 1/2, 3/4, 4/5 and 4/5, 4/5, 2/3; the third token is a sequence of its own."""
    logits, chosen = torch.cat([LOGITS, LOGITS[:1]]), torch.tensor([[2, 0], [0, 1], [1, 2]])
    one, other = torch.tensor([0.5, 0.75, 0.8]), torch.tensor([0.8, 0.8, 2 / 3])
    p = (one / one.sum() + other / other.sum()) / 2
    first = (3 / (2 * 2) * torch.tensor([2.0, 1.0, 1.0]) * p).sum()
    second = (3 / 2 * torch.tensor([0.0, 1.0, 1.0]) * one / one.sum()).sum()
    found = sequence_loss(logits, chosen, torch.tensor([0, 0, 1]))
    assert found.item() == pytest.approx(float(first + second) / 2)


def test_a_bias_rises_where_the_load_is_below_the_mean() -> None:
    load = expert_load(torch.tensor([[0, 1], [0, 2], [0, 2]]), num_experts=4)
    assert load.tolist() == [3, 1, 2, 0]  # the mean is 1.5
    found = moved_bias(torch.tensor([0.5, 0.0, 0.0, -1.0]), load, speed=0.25)
    assert found.tolist() == [0.25, 0.25, -0.25, -0.75]


def test_a_bias_stays_where_the_load_is_the_mean() -> None:
    assert moved_bias(torch.zeros(3), torch.tensor([2, 2, 2]), speed=0.1).tolist() == [0.0, 0.0, 0.0]
