"""NeMo-RL's std: the std of the other rewards of the group."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from r1ray.algo.advantage import Array, Divide, variance


def over_std_of_others(
    centred_PG: Sequence[Array], rewards_PG: Sequence[Array], lengths_PG: Sequence[Array], divide: Divide
) -> list[Array]:
    """Divide by the std with ddof 1 of the group's other rewards, if it is above 0."""
    return [_scaled(centred_G, rewards_G, divide) for centred_G, rewards_G in zip(centred_PG, rewards_PG, strict=True)]


def _scaled(centred_G: Array, rewards_G: Array, divide: Divide) -> Array:
    others = [np.delete(rewards_G, i) for i in range(len(rewards_G))]
    variances_G = np.array([variance(group, ddof=1) for group in others])
    return np.where(variances_G > 0.0, divide(centred_G, variances_G), centred_G)
