"""Other places of epsilon in the denominator of an advantage."""

from __future__ import annotations

import numpy as np

from r1ray.algo.advantage import Array


def in_variance(variance: Array, epsilon: float) -> Array:
    """sqrt(variance + epsilon)."""
    return np.asarray(np.sqrt(variance + epsilon))


def as_floor(variance: Array, epsilon: float) -> Array:
    """sqrt(max(variance, epsilon))."""
    return np.asarray(np.sqrt(np.maximum(variance, epsilon)))
