"""REINFORCE++'s whitening over all tokens of the step in the loss; each token has its output's advantage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from r1ray.algo.advantage import Array, Divide
from r1ray.algo.variants.batch_baseline import split_like


def whitened(
    centred_PG: Sequence[Array],
    rewards_PG: Sequence[Array],
    lengths_PG: Sequence[Array],
    divide: Divide,
    *,
    ddof: int = 1,
) -> list[Array]:
    """Subtract the mean over the tokens, and divide by their std."""
    counts = np.concatenate(lengths_PG)
    values = np.concatenate(centred_PG)
    values = values - _mean(values, counts)
    return split_like(centred_PG, divide(values, _variance(values, counts, ddof=ddof)))


def _mean(values: Array, counts: Array) -> float:
    """Return the mean, each value taken ``counts`` times."""
    return float((counts * values).sum() / max(counts.sum(), 1.0))


def _variance(values: Array, counts: Array, *, ddof: int) -> float:
    """Return the variance, each value taken ``counts`` times; exactly 0 if all values taken are equal."""
    taken = values[counts > 0]
    if len(taken) == 0 or np.ptp(taken) == 0.0:
        return 0.0
    return float((counts * (values - _mean(values, counts)) ** 2).sum() / max(counts.sum() - ddof, 1.0))
