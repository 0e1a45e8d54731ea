"""When the parity probe is due, and what it computes."""

from __future__ import annotations

import numpy as np
import pytest

from r1ray.cluster.parity_probe import disparity, is_due


def test_probes_are_due_at_doubling_distances_and_then_every_so_often() -> None:
    assert [n for n in range(64) if is_due(n, every=20)] == [0, 1, 2, 4, 8, 16, 20, 40, 60]
    assert all(is_due(n, every=1) for n in range(10))


def test_no_doubling_goes_beyond_the_regular_distance() -> None:
    assert [n for n in range(10, 40) if is_due(n, every=10)] == [10, 20, 30]


def test_equal_log_probabilities_differ_by_nothing() -> None:
    values = np.array([-1.0, -20.0], dtype=np.float32)
    assert disparity(values, values) == (0.0, 0.0, 0.0)


def test_the_divergence_is_that_of_tokens_drawn_from_the_engine() -> None:
    """k3 with r = p(learner) / p(engine), of tokens that the engine drew: its mean is the KL divergence."""
    engine, learner = np.array([0.7, 0.3]), np.array([0.6, 0.4])
    tokens = np.random.default_rng(0).choice(2, size=200_000, p=engine)
    largest, mean, kl = disparity(np.log(engine)[tokens].astype(np.float32), np.log(learner)[tokens].astype(np.float32))
    assert kl == pytest.approx(float((engine * np.log(engine / learner)).sum()), rel=0.05)
    assert mean < largest == pytest.approx(float(np.abs(np.log(engine / learner)).max()), abs=1e-6)
