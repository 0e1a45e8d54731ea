"""OpenRLHF's whitening of REINFORCE++, which uses the population variance."""

from __future__ import annotations

from collections.abc import Sequence

from r1ray.algo.advantage import Array, Divide
from r1ray.algo.variants.whitening import whitened


def whitened_by_population(
    centred_PG: Sequence[Array], rewards_PG: Sequence[Array], lengths_PG: Sequence[Array], divide: Divide
) -> list[Array]:
    """Subtract the mean over the tokens, and divide by their std with ddof 0.

    >>> from r1ray.algo.advantage import step_advantages
    >>> step_advantages([[1.0, 0.0], [1.0, 1.0]], [[1, 1], [1, 1]], std="token_population", epsilon=0.0)
    [[1.414213562373095, -1.414213562373095], [0.0, 0.0]]
    """
    return whitened(centred_PG, rewards_PG, lengths_PG, divide, ddof=0)
