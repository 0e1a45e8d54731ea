"""Metrics beyond the share of right answers, each computed from the metrics of all judged responses.

Each takes the metrics of all responses (:attr:`r1ray.types.Scored.parts`), one mapping for each response. A response
without a metric (the reward function failed on it) has 0 there. ``pass@K`` and ``cons@K`` are in
:mod:`r1ray.evaluation.summary`, which knows the responses of each question.

Axis suffixes: ``N`` responses, ``F`` named metrics, ``R`` weightings of the responses, so that a bootstrap is one call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Metrics: TypeAlias = Mapping[str, float]
Floats: TypeAlias = npt.NDArray[np.float64]
RIDGE = 1e-3
"""Ridge that keeps the logistic regression finite if one side always wins."""


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of one metric.

    >>> Mean("f1")([{"f1": 1.0}, {"f1": 0.5}])
    0.75
    """

    name: str

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the metrics that it reads."""
        return (self.name,)

    def __call__(self, rows: Sequence[Metrics]) -> float:
        return float(table_of(rows, self.names).mean())


@dataclass(frozen=True, slots=True)
class Weighted:
    """Another function of some metrics of all responses, which may have different weights."""

    names: tuple[str, ...]
    function: Callable[[Floats, Floats], Floats]
    """Function from metrics [N, F], in the order of ``names``, and weights [R, N], whose rows sum to 1, to [R]."""

    def __call__(self, rows: Sequence[Metrics]) -> float:
        return float(self.function(table_of(rows, self.names), np.full((1, len(rows)), 1 / len(rows)))[0])


Metric: TypeAlias = Mean | Weighted


def table_of(rows: Sequence[Metrics], names: Sequence[str]) -> Floats:
    """Return the named metrics of each response, [N, F]."""
    return np.array([[row.get(name, 0.0) for name in names] for row in rows], dtype=np.float64)


def of_means(function: Callable[..., Floats], *names: str) -> Weighted:
    """Return a metric that is a function of the means of some metrics."""
    return Weighted(names, lambda metrics_NF, weights_RN: function(*(weights_RN @ metrics_NF).T))


def share(part_R: Floats, whole_R: Floats) -> Floats:
    """Return the ratio of two means: a mean over the things counted by the denominator instead of over responses; 0 if
    it counts nothing."""
    return np.divide(part_R, whole_R, out=np.zeros_like(part_R), where=whole_R > 0)


def correct_given_attempted(correct_R: Floats, incorrect_R: Floats) -> Floats:
    """Return the share of right answers among the answered questions (SimpleQA)."""
    return share(correct_R, correct_R + incorrect_R)


def f_score(correct_R: Floats, incorrect_R: Floats) -> Floats:
    """Return the harmonic mean of the share of all questions answered right and of :func:`correct_given_attempted`
    (SimpleQA): 2 / (1 / correct + (correct + incorrect) / correct)."""
    return share(2 * correct_R, 1 + correct_R + incorrect_R)


def length_controlled_winrate(metrics_NF: Floats, weights_RN: Floats) -> Floats:
    """Return the win rate that a logistic regression predicts for outputs as long as the baseline's (Dubois et al.
    2024), from the metrics preference and length difference.

        logit P(preferred) = theta + phi tanh(length difference / its standard deviation);   the rate is sigmoid(theta)

    It is fitted to the preferences by Newton's method. The published model has a third term, the difficulty of each
    instruction, with coefficients from a fit over the whole leaderboard. It cannot be estimated without other models,
    and is left out.
    """
    preference_N, difference_N = metrics_NF.T
    square_R = weights_RN @ difference_N**2
    variance_R = square_R - (weights_RN @ difference_N) ** 2
    varies_R = variance_R > 1e-12 * square_R  # equal lengths differ in their last digits only, and are no control
    spread_R = np.sqrt(np.where(varies_R, variance_R, np.inf))
    length_RN = np.tanh(difference_N / spread_R[:, None])
    theta_R2 = np.zeros((len(weights_RN), 2))
    ridge = RIDGE / len(preference_N)
    for _ in range(100):
        chance_RN = 1 / (1 + np.exp(-theta_R2[:, :1] - theta_R2[:, 1:] * length_RN))
        gradient_R2 = _moments(weights_RN * (preference_N - chance_RN), length_RN, count=2) - ridge * theta_R2
        ones, cross, squares = _moments(weights_RN * (chance_RN * (1 - chance_RN)), length_RN, count=3).T
        curvature_R22 = np.stack([np.stack([ones + ridge, cross]), np.stack([cross, squares + ridge])]).T
        step_R2 = np.linalg.solve(curvature_R22, gradient_R2[:, :, None])[:, :, 0]
        theta_R2 = theta_R2 + np.clip(step_R2, -2.0, 2.0)  # large steps overshoot if one side always wins
        if float(np.abs(step_R2).max()) < 1e-8:
            break
    return np.asarray(1 / (1 + np.exp(-theta_R2[:, 0])))


def _moments(values_RN: Floats, length_RN: Floats, *, count: int) -> Floats:
    """Return sums over responses of value x length^i, [R, count]."""
    return np.stack([np.einsum("rn" + ",rn" * i + "->r", values_RN, *[length_RN] * i) for i in range(count)], axis=1)


METRICS: dict[str, Metric] = {
    "f1": Mean("f1"),
    "exact_match": Mean("exact_match"),
    "prompt_strict": Mean("prompt_strict"),
    "prompt_loose": Mean("prompt_loose"),
    "instruction_strict": of_means(share, "instructions_strict", "instructions"),
    "instruction_loose": of_means(share, "instructions_loose", "instructions"),
    "correct": Mean("correct"),
    "not_attempted": Mean("not_attempted"),
    "correct_given_attempted": of_means(correct_given_attempted, "correct", "incorrect"),
    "f_score": of_means(f_score, "correct", "incorrect"),
    "winrate": Mean("preference"),
    "lc_winrate": Weighted(("preference", "length_difference"), length_controlled_winrate),
    "battle_winrate": of_means(share, "wins", "battles"),
}
"""Metrics by their names in a benchmark's ``metrics``; all are shares between 0 and 1."""


def own_metrics(names: Sequence[str], rows: Sequence[Metrics]) -> dict[str, float]:
    """Return the metrics among ``names`` that this module defines, from the metrics of all scored responses."""
    return {name: METRICS[name](rows) for name in names if name in METRICS} if rows else {}
