"""verl's place of epsilon in the denominator of a whitened advantage: in the variance."""

from __future__ import annotations

import numpy as np

from r1ray.algo.advantage import Array


def in_variance(variance: Array, epsilon: float) -> Array:
    """Return sqrt(variance + epsilon)."""
    return np.asarray(np.sqrt(variance + epsilon))
