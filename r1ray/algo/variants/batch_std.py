"""TRL's ``scale_rewards="batch"``: the std of all rewards of the step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from r1ray.algo.advantage import Array, Divide, variance
from r1ray.algo.variants.batch_baseline import split_like


def over_batch_std(
    centred_PG: Sequence[Array], rewards_PG: Sequence[Array], lengths_PG: Sequence[Array], divide: Divide
) -> list[Array]:
    """Divide by the std with ddof 1 over all groups."""
    scaled = divide(np.concatenate(centred_PG), variance(np.concatenate(rewards_PG), ddof=1))
    return split_like(centred_PG, scaled)
