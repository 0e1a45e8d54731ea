"""Advantages: rewards against a baseline (paper section 2.2.1, equation 3), and the other published baselines and
scales.

    rewards of a step --> step_advantages --> one number for each completion

Statistics of a group or of the whole step are taken here, where all rewards of the step are known, never of a
micro-batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def group_advantages(
    rewards_G: Sequence[float | None],
    *,
    std: str,
    epsilon: float,
    baseline: str = "group",
    epsilon_in: str = "std",
) -> list[float | None]:
    """A_i = (r_i - mean(r)) / (std(r) + epsilon), over the completions of one group.

    Args:
        rewards_G: one reward for each completion; None where the completion could not be scored. It takes no part in
            the mean and the std, and its advantage is None.
        std: ``sample`` divides by the std with ddof 1, ``population`` with ddof 0, ``others`` by the std with ddof 1
            of the group's other rewards, where that is above 0 (NeMo-RL), ``none`` by nothing.
        baseline: ``group`` subtracts the mean of the group, ``leave_one_out`` the mean of the other rewards (RLOO).
        epsilon_in: where epsilon goes, see :func:`divide`.

    A group whose rewards are all equal, or that has fewer than two rewards, teaches nothing: its advantages are 0.

    >>> group_advantages([1.0, 0.0, None, 0.0], std="none", epsilon=0.0)
    [0.6666666666666667, -0.3333333333333333, None, -0.3333333333333333]
    >>> group_advantages([1.0, 0.0, None, 0.0], std="none", epsilon=0.0, baseline="leave_one_out")
    [1.0, -0.5, None, -0.5]
    """
    known = _known(rewards_G)
    values = _centre_group(known, baseline=baseline)
    return _fill(rewards_G, _scale_group(values, known, std=std, epsilon=epsilon, epsilon_in=epsilon_in))


def step_advantages(
    rewards_PG: Sequence[Sequence[float | None]],
    lengths_PG: Sequence[Sequence[int]],
    *,
    baseline: str,
    std: str,
    epsilon: float,
    epsilon_in: str = "std",
) -> list[list[float | None]]:
    """The advantages of all groups of a step.

    Args:
        rewards_PG: as in :func:`group_advantages`, for each group.
        lengths_PG: tokens of each completion that are in the loss; 0 for one that is masked out. The reward of such a
            one counts in the baseline all the same.
        baseline: as in :func:`group_advantages`, or ``batch``: the mean of all rewards of the step (REINFORCE++).
        std: as in :func:`group_advantages`; or ``batch``: the std with ddof 1 of all rewards of the step (TRL's
            ``scale_rewards="batch"``); or ``token_sample``, ``token_population``: whitening (REINFORCE++), which
            subtracts the mean over all tokens of the step in the loss and divides by their std with ddof 1 or 0,
            where each token has its completion's advantage.

    >>> step_advantages(
    ...     [[1.0, 0.0], [1.0, 1.0]], [[1, 1], [1, 1]], baseline="group", std="token_population", epsilon=0.0
    ... )
    [[1.414213562373095, -1.414213562373095], [0.0, 0.0]]
    """
    known = [_known(rewards_G) for rewards_G in rewards_PG]
    ends = np.cumsum([len(group) for group in known])[:-1]
    if baseline == "batch":
        centred = np.split(_centre(np.concatenate(known)), ends)
    else:
        centred = [_centre_group(group, baseline=baseline) for group in known]
    if std in ("batch", "token_sample", "token_population"):
        everything = np.concatenate(centred)
        if std == "batch":
            variance = _variance(np.concatenate(known), np.ones_like(everything), ddof=1)
        else:
            counts = _known([n for pair in zip(rewards_PG, lengths_PG, strict=True) for n in _of_scored(*pair)])
            everything = everything - _mean(everything, counts)
            variance = _variance(everything, counts, ddof={"token_sample": 1, "token_population": 0}[std])
        scaled = np.split(divide(everything, variance, epsilon=epsilon, epsilon_in=epsilon_in), ends)
    else:
        scaled = [
            _scale_group(values, group, std=std, epsilon=epsilon, epsilon_in=epsilon_in)
            for values, group in zip(centred, known, strict=True)
        ]
    return [_fill(rewards_G, values) for rewards_G, values in zip(rewards_PG, scaled, strict=True)]


def kl_advantages(kl_of_rows: Sequence[tuple[str, float]], *, baseline: str) -> list[float]:
    """The advantage that each row would have if its reward were its KL; for the KL in the reward.

    Args:
        kl_of_rows: for each row of the step that is in the loss, on any rank, the name of its group and the sum of its
            tokens' KL.
        baseline: as in :func:`step_advantages`.

    >>> kl_advantages([("a", 1.0), ("b", 5.0), ("a", 4.0)], baseline="leave_one_out")
    [-3.0, 0.0, 3.0]
    """
    if not kl_of_rows:
        return []
    groups: dict[str, list[float]] = {}
    for group, kl in kl_of_rows:
        groups.setdefault(group, []).append(kl)
    lengths = [[1] * len(values) for values in groups.values()]
    advantages = step_advantages(list(groups.values()), lengths, baseline=baseline, std="none", epsilon=0.0)
    by_group = {group: iter(values) for group, values in zip(groups, advantages, strict=True)}
    return [float(next(by_group[group]) or 0.0) for group, _ in kl_of_rows]


def divide(values: Array, variance: float | Array, *, epsilon: float, epsilon_in: str) -> Array:
    """Values over their standard deviation; 0 where the variance is 0.

    Args:
        epsilon_in: ``std`` divides by sqrt(variance) + epsilon, ``variance`` by sqrt(variance + epsilon), ``floor`` by
            sqrt(max(variance, epsilon)).
    """
    if epsilon_in == "std":
        scale = np.sqrt(variance) + epsilon
    elif epsilon_in == "variance":
        scale = np.sqrt(np.add(variance, epsilon))
    elif epsilon_in == "floor":
        scale = np.sqrt(np.maximum(variance, epsilon))
    else:
        raise ValueError(f"unknown place of epsilon {epsilon_in!r}")
    varies = np.asarray(variance) > 0.0
    return np.where(varies, values / np.where(varies, scale, 1.0), 0.0)


def is_uniform(rewards_G: Sequence[float | None]) -> bool:
    """Whether all known rewards of a group are equal, so that it teaches nothing (DAPO, section 3.2)."""
    known = _known(rewards_G)
    return len(known) == 0 or bool(np.ptp(known) == 0.0)


def _centre(values: Array) -> Array:
    """Values minus their mean: exactly 0 where they are all equal, which rounding of the mean would spoil."""
    if len(values) == 0 or np.ptp(values) == 0.0:
        return np.zeros_like(values)
    return np.asarray(values - values.mean(), dtype=np.float64)


def _centre_group(known: Array, *, baseline: str) -> Array:
    if baseline == "group":
        return _centre(known)
    if baseline == "leave_one_out":  # r_i - mean of the others = (r_i - mean of all) n / (n - 1)
        return _centre(known) * (len(known) / max(len(known) - 1, 1))
    raise ValueError(f"unknown baseline of a group {baseline!r}")


def _scale_group(values: Array, known: Array, *, std: str, epsilon: float, epsilon_in: str) -> Array:
    if std == "none" or len(known) == 0:
        return values
    if std in ("sample", "population"):
        variance = _variance(known, np.ones_like(known), ddof={"sample": 1, "population": 0}[std])
        return divide(values, variance, epsilon=epsilon, epsilon_in=epsilon_in)
    if std != "others":
        raise ValueError(f"unknown std {std!r}")
    others = [np.delete(known, i) for i in range(len(known))]
    variances = np.array([_variance(group, np.ones_like(group), ddof=1) for group in others])
    return np.where(variances > 0.0, divide(values, variances, epsilon=epsilon, epsilon_in=epsilon_in), values)


def _mean(values: Array, counts: Array) -> float:
    return float((counts * values).sum() / max(counts.sum(), 1.0))


def _variance(values: Array, counts: Array, *, ddof: int) -> float:
    """Each value taken ``counts`` times; exactly 0 where all that are taken are equal."""
    taken = values[counts > 0]
    if len(taken) == 0 or np.ptp(taken) == 0.0:
        return 0.0
    return float((counts * (values - _mean(values, counts)) ** 2).sum() / max(counts.sum() - ddof, 1.0))


def _known(rewards: Sequence[float | None]) -> Array:
    return np.array([reward for reward in rewards if reward is not None], dtype=np.float64)


def _of_scored(rewards_G: Sequence[float | None], lengths_G: Sequence[int]) -> list[int]:
    return [length for reward, length in zip(rewards_G, lengths_G, strict=True) if reward is not None]


def _fill(rewards: Sequence[float | None], values: Array) -> list[float | None]:
    numbers = iter(values.tolist())
    return [None if reward is None else next(numbers) for reward in rewards]
