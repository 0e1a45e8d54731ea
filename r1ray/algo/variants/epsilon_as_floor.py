"""OpenRLHF's place of epsilon in the denominator of a whitened advantage: the minimum of the variance."""

from __future__ import annotations

import numpy as np

from r1ray.algo.advantage import Array


def as_floor(variance: Array, epsilon: float) -> Array:
    """Return sqrt(max(variance, epsilon))."""
    return np.asarray(np.sqrt(np.maximum(variance, epsilon)))
