from __future__ import annotations

import math

import pytest
import torch

from r1ray.algo.ratio import log_ratio

LENGTHS = torch.tensor([2, 1])


def test_a_sequence_has_the_geometric_mean_of_its_tokens_ratios() -> None:
    logp = torch.tensor([math.log(1.5), math.log(0.5), math.log(5.0)])
    token = log_ratio(logp, torch.zeros(3), LENGTHS).exp()
    sequence = log_ratio(logp, torch.zeros(3), LENGTHS, level="sequence").exp()
    assert token.tolist() == pytest.approx([1.5, 0.5, 5.0])
    assert sequence.tolist() == pytest.approx([0.75**0.5, 0.75**0.5, 5.0])


def test_the_gradient_of_a_sequence_ratio_is_shared_by_its_tokens() -> None:
    logp = torch.zeros(3, requires_grad=True)
    log_ratio(logp, torch.zeros(3), LENGTHS, level="sequence")[0].backward()
    assert logp.grad is not None and logp.grad.tolist() == [0.5, 0.5, 0.0]


def test_beyond_the_clamp_there_is_no_gradient() -> None:
    logp = torch.tensor([25.0, 1.0, -25.0], requires_grad=True)
    clamped = log_ratio(logp, torch.zeros(3), LENGTHS, clamp=20.0)
    clamped.sum().backward()
    assert clamped.tolist() == [20.0, 1.0, -20.0]
    assert logp.grad is not None and logp.grad.tolist() == [0.0, 1.0, 0.0]


def test_the_level_has_to_be_known() -> None:
    with pytest.raises(ValueError, match="unknown level"):
        log_ratio(torch.zeros(3), torch.zeros(3), LENGTHS, level="word")
