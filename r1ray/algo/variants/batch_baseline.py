"""REINFORCE++'s baseline: the mean of all rewards of the step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from r1ray.algo.advantage import Array, centre
from r1ray.algo.inputs import AdvantageInputs


def less_batch_mean(inputs: AdvantageInputs) -> list[Array]:
    """Return r_i - mean(r) over all groups."""
    return split_like(inputs.rewards_PG, centre(np.concatenate(inputs.rewards_PG)))


def split_like(groups: Sequence[Array], values: Array) -> list[Array]:
    """Split the values of a whole step, laid end to end, by group."""
    return np.split(values, np.cumsum([len(group) for group in groups])[:-1])
