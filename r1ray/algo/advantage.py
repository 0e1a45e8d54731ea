"""Advantages A_i (paper section 2.2.1, equation 3): rewards relative to mean and std of their group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from r1ray.algo.doors import BASELINES, EPSILON_PLACES, SCALES
from r1ray.algo.inputs import AdvantageInputs

Array: TypeAlias = npt.NDArray[np.float64]
Divide: TypeAlias = Callable[[Array, float | Array], Array]


def step_advantages(
    rewards_PG: Sequence[Sequence[float | None]],
    lengths_PG: Sequence[Sequence[int]],
    *,
    baseline: str = "group",
    std: str = "sample",
    epsilon: float,
    epsilon_in: str = "std",
) -> list[list[float | None]]:
    """Return A_i = (r_i - mean(r)) / (std(r) + epsilon), over the outputs of each group of a step.

    Args:
        rewards_PG: one reward for each output of each group; None if it could not be scored. Such an output is left out
            of mean and std, and its advantage is None.
        lengths_PG: tokens of each output that are in the loss; 0 for one that is masked out, whose reward still counts
            in mean and std.
        baseline: ``group``, or a variant: see :data:`r1ray.algo.doors.BASELINES`.
        std: ``sample`` (ddof 1), or a variant: see :data:`r1ray.algo.doors.SCALES`.
        epsilon_in: where epsilon goes, see :func:`divide`.

    A group whose rewards are all equal, or that has fewer than two rewards, gives no signal: its advantages are 0.

    >>> step_advantages([[1.0, 0.0, None, 0.0]], [[5, 5, 5, 5]], std="none", epsilon=0.0)
    [[0.6666666666666667, -0.3333333333333333, None, -0.3333333333333333]]
    """
    pairs_PG = [
        [pair for pair in zip(*group, strict=True) if pair[0] is not None]
        for group in zip(rewards_PG, lengths_PG, strict=True)
    ]
    scored_PG = [np.array([reward for reward, _ in pairs], dtype=np.float64) for pairs in pairs_PG]
    counts_PG = [np.array([length for _, length in pairs], dtype=np.float64) for pairs in pairs_PG]
    inputs = AdvantageInputs(rewards_PG=scored_PG, lengths_PG=counts_PG)
    centred_PG = BASELINES.find(baseline)(inputs)  # r_i - mean(r)
    by_epsilon = partial(divide, epsilon=epsilon, epsilon_in=epsilon_in)
    scaled_PG = SCALES.find(std)(centred_PG, scored_PG, counts_PG, by_epsilon)  # / std(r)
    return [_fill(rewards_G, scaled_G) for rewards_G, scaled_G in zip(rewards_PG, scaled_PG, strict=True)]


def less_group_mean(inputs: AdvantageInputs) -> list[Array]:
    """Return r_i - mean(r) of each group."""
    return [centre(rewards_G) for rewards_G in inputs.rewards_PG]


def over_group_std(
    centred_PG: Sequence[Array],
    rewards_PG: Sequence[Array],
    lengths_PG: Sequence[Array],
    divide: Divide,
    *,
    ddof: int = 1,
) -> list[Array]:
    """Divide by std(r) of each group."""
    variances_P = [variance(rewards_G, ddof=ddof) for rewards_G in rewards_PG]
    return list(map(divide, centred_PG, variances_P))


def centre(values: Array) -> Array:
    """Return values minus their mean. If all values are equal the result is exactly 0, in spite of rounding."""
    if len(values) == 0 or np.ptp(values) == 0.0:
        return np.zeros_like(values)
    return np.asarray(values - values.mean(), dtype=np.float64)


def variance(values: Array, *, ddof: int) -> float:
    """Return the variance: exactly 0 if all values are equal."""
    if len(values) == 0 or np.ptp(values) == 0.0:
        return 0.0
    return float(values.var(ddof=ddof))


def divide(values: Array, variance: float | Array, *, epsilon: float, epsilon_in: str = "std") -> Array:
    """Return values over their standard deviation; 0 where the variance is 0.

    Args:
        epsilon_in: ``std`` divides by sqrt(variance) + epsilon; for variants see
            :data:`r1ray.algo.doors.EPSILON_PLACES`.
    """
    scale = EPSILON_PLACES.find(epsilon_in)(np.asarray(variance), epsilon)
    varies = np.asarray(variance) > 0.0
    return np.where(varies, values / np.where(varies, scale, 1.0), 0.0)


def epsilon_beside_std(variance: Array, epsilon: float) -> Array:
    """Return sqrt(variance) + epsilon."""
    return np.asarray(np.sqrt(variance) + epsilon)


def _fill(rewards: Sequence[float | None], values: Array) -> list[float | None]:
    numbers = iter(values.tolist())
    return [None if reward is None else next(numbers) for reward in rewards]
