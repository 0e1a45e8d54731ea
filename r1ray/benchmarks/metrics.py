"""Metrics that are more than a mean of right answers: from the figures of every judged response to one number.

Each takes the figures of all responses (:attr:`r1ray.types.Scored.parts`), one mapping a response. ``pass@1`` and
``cons@k`` are :mod:`r1ray.evaluate`'s, which knows which responses belong to one question.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

Figures: TypeAlias = Mapping[str, float]
RIDGE = 1e-3
"""Keeps the logistic regression finite where one side wins every time."""


def mean_of(name: str) -> Callable[[Sequence[Figures]], float]:
    """The mean of one figure."""
    return lambda rows: float(np.mean([row[name] for row in rows]))


def ratio_of(above: str, below: str) -> Callable[[Sequence[Figures]], float]:
    """The sum of one figure over the sum of another: a mean over the things they count instead of over responses."""
    return lambda rows: sum(row[above] for row in rows) / (sum(row[below] for row in rows) or 1.0)


def correct_given_attempted(rows: Sequence[Figures]) -> float:
    """Of the questions that were answered at all, the share answered right (SimpleQA)."""
    attempted = sum(row["correct"] + row["incorrect"] for row in rows)
    return sum(row["correct"] for row in rows) / attempted if attempted else 0.0


def f_score(rows: Sequence[Figures]) -> float:
    """Harmonic mean of the share of all questions answered right and of :func:`correct_given_attempted` (SimpleQA)."""
    overall, given = mean_of("correct")(rows), correct_given_attempted(rows)
    return 2 * overall * given / (overall + given) if overall + given else 0.0


def length_controlled_winrate(rows: Sequence[Figures]) -> float:
    """The win rate that a logistic regression predicts for outputs as long as the baseline's (Dubois et al. 2024).

        logit P(preferred) = theta + phi tanh(length difference / its standard deviation);   the rate is sigmoid(theta)

    fitted to the preferences by Newton's method. The published model has a third term, the difficulty of each
    instruction, with coefficients from a fit over the whole leaderboard; without other models there is nothing to
    estimate it from, and it is left out.
    """
    preference = np.array([row["preference"] for row in rows])
    difference = np.array([row["length_difference"] for row in rows])
    spread = float(np.std(difference))
    features = np.stack([np.ones_like(difference), np.tanh(difference / spread) if spread else 0 * difference], axis=1)
    theta = np.zeros(2)
    for _ in range(100):
        chance = 1 / (1 + np.exp(-features @ theta))
        gradient = features.T @ (preference - chance) - RIDGE * theta
        curvature = (features * (chance * (1 - chance))[:, None]).T @ features + RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        theta = theta + np.clip(step, -2.0, 2.0)  # far steps overshoot where one side always wins
        if float(np.abs(step).max()) < 1e-10:
            break
    return float(1 / (1 + np.exp(-theta[0])))


METRICS: dict[str, Callable[[Sequence[Figures]], float]] = {
    "f1": mean_of("f1"),
    "exact_match": mean_of("exact_match"),
    "prompt_strict": mean_of("prompt_strict"),
    "prompt_loose": mean_of("prompt_loose"),
    "instruction_strict": ratio_of("instructions_strict", "instructions"),
    "instruction_loose": ratio_of("instructions_loose", "instructions"),
    "correct": mean_of("correct"),
    "not_attempted": mean_of("not_attempted"),
    "correct_given_attempted": correct_given_attempted,
    "f_score": f_score,
    "winrate": mean_of("preference"),
    "lc_winrate": length_controlled_winrate,
    "battle_winrate": ratio_of("wins", "battles"),
}
"""By the names that a benchmark's ``metrics`` has; all are shares between 0 and 1."""


def own_figures(names: Sequence[str], rows: Sequence[Figures]) -> dict[str, float]:
    """The metrics among ``names`` that are defined here, of the figures of all responses that were scored."""
    return {name: METRICS[name](rows) for name in names if name in METRICS} if rows else {}
