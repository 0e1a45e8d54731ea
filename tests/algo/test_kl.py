"""Estimators of the KL against numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from r1ray.algo.kl import kl_estimate


def estimate(logp: float, ref: float, estimator: str, clamp: float | None = None) -> tuple[float, float]:
    """Value and gradient."""
    x = torch.tensor([logp], dtype=torch.float64, requires_grad=True)
    out = kl_estimate(x, torch.tensor([ref], dtype=torch.float64), estimator=estimator, clamp=clamp)
    out.sum().backward()
    assert x.grad is not None
    return out.item(), x.grad.item()


TABLE = [
    (-1.0, -1.2, 0.2, 0.02, 0.018731, 0.181269),
    (-1.0, -0.5, -0.5, 0.125, 0.148721, -0.648721),
    (-0.1, -3.0, 2.9, 4.205, 1.955023, 0.944977),
    (-5.0, -0.2, -4.8, 11.52, 115.710418, -120.510418),
]


@pytest.mark.parametrize(("logp", "ref", "k1", "k2", "k3", "gradient"), TABLE)
def test_estimators_and_their_gradients(
    logp: float, ref: float, k1: float, k2: float, k3: float, gradient: float
) -> None:
    assert estimate(logp, ref, "k1") == (pytest.approx(k1, abs=1e-6), 1.0)
    assert estimate(logp, ref, "abs") == (pytest.approx(abs(k1), abs=1e-6), 1.0 if k1 > 0 else -1.0)
    assert estimate(logp, ref, "k2") == (pytest.approx(k2, abs=1e-6), pytest.approx(k1, abs=1e-6))
    assert estimate(logp, ref, "k3") == (pytest.approx(k3, abs=1e-6), pytest.approx(gradient, abs=1e-6))


@pytest.mark.parametrize(("logp", "ref", "k1", "k2", "k3", "gradient"), TABLE)
def test_a_clamp_takes_the_gradient_of_what_it_bounds(
    logp: float, ref: float, k1: float, k2: float, k3: float, gradient: float
) -> None:
    if k3 <= 10:
        assert estimate(logp, ref, "k3", 10.0) == estimate(logp, ref, "k3")
    else:
        assert estimate(logp, ref, "k3", 10.0) == (10.0, 0.0)
    assert estimate(logp, ref, "k2", 10.0) == ((10.0, 0.0) if k2 > 10 else estimate(logp, ref, "k2"))


@given(st.floats(-1000, 1000), st.floats(0.001, 50))
def test_a_clamped_k3_is_the_bounded_value_and_its_gradient_is_never_nan(difference: float, clamp: float) -> None:
    value, gradient = estimate(0.0, difference, "k3", clamp)
    x = torch.tensor(difference, dtype=torch.float64)
    assert value == pytest.approx(min((torch.exp(x) - x - 1).item(), clamp), abs=1e-12)
    assert gradient == gradient and abs(gradient) <= clamp + 60


@given(st.floats(-20, 0), st.floats(-20, 0))
def test_k3_is_never_negative(logp: float, ref: float) -> None:
    assert estimate(logp, ref, "k3")[0] >= 0


def test_the_estimator_has_to_be_known() -> None:
    with pytest.raises(ValueError, match="unknown estimator"):
        estimate(0.0, 0.0, "k4")
