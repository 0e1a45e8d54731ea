"""Two outputs: tokens weighing 2 and 1/4 (together 1/2, geometric mean 0.707), and one token weighing 4."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from r1ray.algo.mismatch import importance_weights

LENGTHS = torch.tensor([2, 1])
LOG_WEIGHTS = torch.tensor([math.log(2.0), math.log(0.25), math.log(4.0)])


def weights(correction: str, *, cap: float, floor: float = 0.0) -> list[float]:
    prox = LOG_WEIGHTS.clone().requires_grad_()
    made = importance_weights(prox, torch.zeros(3), LENGTHS, correction=correction, cap=cap, floor=floor)
    assert not made.requires_grad, "a constant"
    return [round(weight, 5) for weight in made.tolist()]


@pytest.mark.parametrize(
    ("correction", "cap", "floor", "expected"),
    [
        ("token_tis", 3.0, 0.0, [2.0, 0.25, 3.0]),
        ("token_tis", 3.0, 0.5, [2.0, 0.5, 3.0]),
        ("token_mask", 3.0, 0.5, [2.0, 0.0, 0.0]),
        ("sequence_tis", 3.0, 0.0, [0.5, 0.5, 3.0]),
        ("sequence_mask", 3.0, 0.0, [0.5, 0.5, 0.0]),
        ("geometric_mask", 3.0, 0.5, [2.0, 0.25, 0.0]),
        ("geometric_mask", 5.0, 0.8, [0.0, 0.0, 4.0]),
    ],
)
def test_each_correction(correction: str, cap: float, floor: float, expected: list[float]) -> None:
    assert weights(correction, cap=cap, floor=floor) == expected


@pytest.mark.parametrize("correction", ["token_tis", "token_mask", "sequence_tis", "sequence_mask"])
@given(values=st.lists(st.floats(-200, 200), min_size=3, max_size=3))
def test_weights_are_bounded_even_where_the_ratio_is_not_finite(correction: str, values: list[float]) -> None:
    made = importance_weights(torch.tensor(values), torch.zeros(3), LENGTHS, correction=correction, cap=2.0)
    assert bool((made >= 0).all()) and bool((made <= 2.0).all())


@pytest.mark.parametrize("correction", ["token_tis", "token_mask", "sequence_tis", "sequence_mask", "geometric_mask"])
def test_where_engine_and_learner_agree_every_weight_is_1(correction: str) -> None:
    logp = torch.tensor([-1.0, -2.0, -3.0])
    assert importance_weights(logp, logp, LENGTHS, correction=correction, cap=2.0).tolist() == [1.0, 1.0, 1.0]


def test_the_correction_has_to_be_known() -> None:
    with pytest.raises(ValueError, match="unknown correction"):
        weights("word_tis", cap=2.0)
