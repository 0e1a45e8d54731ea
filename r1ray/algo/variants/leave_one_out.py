"""RLOO's baseline: the mean of the other rewards of the group."""

from __future__ import annotations

from r1ray.algo.advantage import Array, centre
from r1ray.algo.inputs import AdvantageInputs


def less_mean_of_others(inputs: AdvantageInputs) -> list[Array]:
    """Return r_i - mean of the others = (r_i - mean of all) n / (n - 1), of each group."""
    return [centre(rewards_G) * (len(rewards_G) / max(len(rewards_G) - 1, 1)) for rewards_G in inputs.rewards_PG]
