"""The entropy bonus against numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch

from r1ray.algo.variants.entropy_bonus import entropy_bonus


def test_the_bonus_is_the_coefficient_times_the_weighted_mean() -> None:
    entropy = torch.tensor([1.0, 3.0], requires_grad=True)
    bonus = entropy_bonus(entropy, torch.tensor([0.25, 0.75]), coefficient=0.1)
    (gradient,) = torch.autograd.grad(bonus, entropy)
    assert bonus.item() == pytest.approx(0.25)
    assert gradient.tolist() == pytest.approx([0.025, 0.075])
