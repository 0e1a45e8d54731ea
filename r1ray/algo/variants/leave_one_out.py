"""RLOO's baseline: the mean of the other rewards of the group."""

from __future__ import annotations

from collections.abc import Sequence

from r1ray.algo.advantage import Array, centre


def less_mean_of_others(rewards_PG: Sequence[Array], lengths_PG: Sequence[Array]) -> list[Array]:
    """r_i - mean of the others = (r_i - mean of all) n / (n - 1), of each group."""
    return [centre(rewards_G) * (len(rewards_G) / max(len(rewards_G) - 1, 1)) for rewards_G in rewards_PG]
