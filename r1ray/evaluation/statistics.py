"""Statistics of metrics: pass@1 and pass@k, bootstrap intervals, paired comparisons, means over groups of questions.

Scores are one sequence for each question, with one number for each of its samples; questions may have different numbers
of samples. Every metric is a mean over questions of a mean over samples. Every random draw takes a seed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Scores: TypeAlias = Iterable[npt.ArrayLike]
"""Scores of the samples of each question: a [Q, K] array, or lists of different lengths."""
Level: TypeAlias = Literal["questions", "samples", "both"]

CONFIDENCE = 0.95
NUM_RESAMPLES = 10_000
_TAILS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
_Z = NormalDist().inv_cdf(_TAILS[1])
_CHUNK = 2_000_000  # numbers drawn at once: 16 MB


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Comparison of model a with model b on the same questions."""

    difference: Estimate
    """Mean score of a minus that of b; the interval is over questions."""
    p_value: float
    """Two-sided p-value of :func:`sign_flip_p`."""
    num_better: int
    """Questions on which a has the higher mean."""
    num_worse: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMeans:
    """Means of groups of questions: the subjects of MMLU."""

    by_group: dict[str, float]
    sizes: dict[str, int]
    macro: float
    """Mean of the groups' means: every group has the same weight."""
    micro: float
    """Mean over all questions: a group's weight is its number of questions."""


def means_of(scores: Scores) -> Floats:
    """Return the mean over the samples of each question, [Q].

    >>> means_of([[1, 0, 0, 1], [1, 1]])
    array([0.5, 1. ])
    """
    return np.array([row.mean() for row in _rows(scores)])


def pass_at_1(scores: Scores) -> float:
    """Return the mean over questions of sum(p_i) / K (paper section 3)."""
    return float(means_of(scores).mean())


def pass_at_k(num_correct_Q: npt.ArrayLike, *, num_samples: int, k: int) -> Floats:
    """Return the chance that at least one of k samples is right if ``num_correct`` of ``num_samples`` were, [Q].

    This is the unbiased estimator 1 - C(n - c, k) / C(n, k) of Chen et al. 2021, "Evaluating Large Language Models
    Trained on Code", computed as the product of 1 - k/i over i = n - c + 1 .. n, without large numbers.

    >>> pass_at_k([0, 1, 2], num_samples=4, k=2)
    array([0.        , 0.5       , 0.83333333])
    """
    correct_Q = np.asarray(num_correct_Q)
    if not 1 <= k <= num_samples:
        raise ValueError(f"pass@{k} needs at least {max(k, 1)} samples a question and k >= 1; there are {num_samples}.")
    if correct_Q.size and not 0 <= correct_Q.min() <= correct_Q.max() <= num_samples:
        raise ValueError(f"a question has {correct_Q.min()} to {correct_Q.max()} right samples of {num_samples}.")
    factors = 1 - k / np.arange(num_samples, 0, -1)
    all_wrong = np.concatenate([[1.0], np.cumprod(factors)])  # by c; a factor is exactly 0 from n - c = k - 1 on
    return np.asarray(1 - all_wrong[correct_Q])


def bootstrap(scores: Scores, *, level: Level = "questions", seed: int, num_resamples: int = NUM_RESAMPLES) -> Estimate:
    """Return the mean over questions of means over samples, with the 95 % percentile interval of its bootstrap
    distribution.

    The meaning of the interval depends on what is resampled:

    * ``questions``: questions, each with its samples unchanged. *Other questions of this kind, other samples*: sampling
      noise is included, because it is part of the means that differ between questions. The interval to report.
    * ``samples``: samples of each question; the questions stay. *The same benchmark run again.* K - 1 of K samples are
      drawn, which makes the variance unbiased for small K (Rao and Wu 1988). It needs more than one sample a question.
    * ``both``: questions, then K of the K samples of each. Sampling noise counts twice, in the means and in drawing
      them. The interval is wider than ``questions`` by up to sqrt(2) if all questions are equally hard, and hardly
      wider if they differ (Davison and Hinkley 1997, section 3.8). The cautious choice.

    If all means are equal (everything right), resampling shows nothing: the interval has no width and must not be
    trusted; see :func:`wilson_interval`.
    """
    rows = _rows(scores)
    means_Q = np.array([row.mean() for row in rows])
    rng = np.random.default_rng(seed)
    if level == "questions":
        totals_R = _question_means(means_Q, num_resamples, rng)
    else:
        fewest = min(len(row) for row in rows)
        if level == "samples" and fewest < 2:
            raise ValueError("an interval over samples needs at least 2 samples of every question.")
        is_binary = all(np.isin(row, (0.0, 1.0)).all() for row in rows)
        totals_R = (_binary_means if is_binary else _sample_means)(rows, level, num_resamples, rng)
    return _percentiles(float(means_Q.mean()), totals_R)


def normal_interval(values_Q: npt.ArrayLike) -> Estimate:
    """Return the mean of one value for each question +- 1.96 s / sqrt(Q), with s of ddof 1: the closed form of
    :func:`bootstrap` over questions."""
    values = np.asarray(values_Q, dtype=np.float64)
    if len(values) < 2:
        raise ValueError(f"a standard error needs at least 2 questions; there are {len(values)}.")
    mean, half = float(values.mean()), _Z * float(values.std(ddof=1)) / math.sqrt(len(values))
    return Estimate(mean, mean - half, mean + half)


def wilson_interval(num_correct: int, *, num_trials: int) -> Estimate:
    """Return the 95 % interval of a share by Wilson's score (1927), for independent trials: one sample for each
    question. It has a width even if all trials are right, or all wrong.

    >>> round(wilson_interval(10, num_trials=10).low, 4)
    0.7225
    """
    if not 0 <= num_correct <= num_trials or num_trials < 1:
        raise ValueError(f"{num_correct} of {num_trials} is not a share.")
    share, z2 = num_correct / num_trials, _Z**2
    centre = (share + z2 / (2 * num_trials)) / (1 + z2 / num_trials)
    half = _Z / (1 + z2 / num_trials) * math.sqrt(share * (1 - share) / num_trials + z2 / (4 * num_trials**2))
    return Estimate(share, max(0.0, centre - half), min(1.0, centre + half))


def compare(scores_a: Scores, scores_b: Scores, *, seed: int, num_resamples: int = NUM_RESAMPLES) -> Comparison:
    """Compare two models on the same questions in the same order; they may have different numbers of samples.

    Pairing removes the difficulty that is common to both: the interval is of the differences on each question,
    resampled over questions, and is narrower than two separate intervals suggest.
    """
    a_Q, b_Q = means_of(scores_a), means_of(scores_b)
    if len(a_Q) != len(b_Q):
        raise ValueError(f"a comparison needs the same questions; there are {len(a_Q)} and {len(b_Q)}.")
    difference_Q = a_Q - b_Q
    totals_R = _question_means(difference_Q, num_resamples, np.random.default_rng(seed))
    return Comparison(
        difference=_percentiles(float(difference_Q.mean()), totals_R),
        p_value=sign_flip_p(difference_Q, seed=seed, num_resamples=num_resamples),
        num_better=int((difference_Q > 0).sum()),
        num_worse=int((difference_Q < 0).sum()),
    )


def sign_flip_p(difference_Q: npt.ArrayLike, *, seed: int, num_resamples: int = NUM_RESAMPLES) -> float:
    """Return the two-sided p-value of paired differences: how often their sum is as far from 0 if signs are random.

    The null hypothesis is that the two models are interchangeable on each question. All sign patterns are counted if
    there are at most ``num_resamples``; otherwise that many are drawn, and the observed one counts as one of them.

    >>> sign_flip_p([1, 1, 1, 0], seed=0)
    0.25
    """
    difference = np.asarray(difference_Q, dtype=np.float64)
    difference = difference[difference != 0]  # the sign of a 0 changes nothing
    count = len(difference)
    reach = abs(float(difference.sum())) * (1 - 1e-12) - 1e-12  # sums in another order differ in their last digits
    if 2**count <= num_resamples:
        patterns = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
        return float((np.abs((2 * patterns - 1) @ difference) >= reach).mean())
    rng, as_far = np.random.default_rng(seed), 0
    for size in _chunks(num_resamples, count):
        signs = 2.0 * rng.integers(0, 2, size=(size, count), dtype=np.int8) - 1.0
        as_far += int((np.abs(signs @ difference) >= reach).sum())
    return (1 + as_far) / (1 + num_resamples)


def mcnemar_p(correct_a: Sequence[bool], correct_b: Sequence[bool]) -> float:
    """Return the p-value of McNemar's exact test (1947) for one sample of each model for each question: the two-sided
    binomial p-value of the questions on which they differ.

    >>> mcnemar_p([True] * 6 + [False], [False] * 6 + [True])
    0.125
    """
    pairs = list(zip(correct_a, correct_b, strict=True))
    only_a = sum(a and not b for a, b in pairs)
    only_b = sum(b and not a for a, b in pairs)
    discordant = only_a + only_b
    tail = sum(math.comb(discordant, i) for i in range(min(only_a, only_b) + 1))
    return min(1.0, 2 * tail / (1 << discordant))


def weighted_mean(values: npt.ArrayLike, *, weights: npt.ArrayLike) -> float:
    """Return sum(w x) / sum(w)."""
    weight = np.asarray(weights, dtype=np.float64)
    if not weight.size or weight.min() < 0 or not weight.sum() > 0:
        raise ValueError("weights of a mean must not be negative, and not all zero.")
    return float(np.average(np.asarray(values, dtype=np.float64), weights=weight))


def group_means(values_Q: npt.ArrayLike, groups_Q: Sequence[str]) -> GroupMeans:
    """Return means of one value for each question, by the name of its group; groups are in the order in which they
    first occur."""
    members = _members(values_Q, groups_Q)
    by_group = {name: float(values.mean()) for name, values in members.items()}
    sizes = {name: len(values) for name, values in members.items()}
    means = list(by_group.values())
    return GroupMeans(
        by_group=by_group,
        sizes=sizes,
        macro=weighted_mean(means, weights=[1] * len(means)),
        micro=weighted_mean(means, weights=list(sizes.values())),
    )


def bootstrap_macro(
    values_Q: npt.ArrayLike, groups_Q: Sequence[str], *, seed: int, num_resamples: int = NUM_RESAMPLES
) -> Estimate:
    """Return the mean of groups' means with its 95 % interval. Questions are resampled within their group; the groups
    themselves are fixed by the benchmark. A group of one question adds no width."""
    members = _members(values_Q, groups_Q)
    rng = np.random.default_rng(seed)
    totals_R = sum(_question_means(values, num_resamples, rng) for values in members.values()) / len(members)
    return _percentiles(float(np.mean([values.mean() for values in members.values()])), np.asarray(totals_R))


def _rows(scores: Scores) -> list[Floats]:
    rows = [np.asarray(row, dtype=np.float64) for row in scores]
    if not rows or any(row.ndim != 1 or not len(row) for row in rows):
        raise ValueError("a metric needs at least one question, and at least one sample of every question.")
    if not all(np.isfinite(row).all() for row in rows):
        raise ValueError("a score is infinite or not a number.")
    return rows


def _members(values_Q: npt.ArrayLike, groups_Q: Sequence[str]) -> dict[str, Floats]:
    members: dict[str, list[float]] = {}
    for value, name in zip(np.asarray(values_Q, dtype=np.float64).tolist(), groups_Q, strict=True):
        members.setdefault(name, []).append(value)
    if not members:
        raise ValueError("a mean over groups needs at least one question.")
    return {name: np.array(values) for name, values in members.items()}


def _percentiles(value: float, totals_R: Floats) -> Estimate:
    low, high = np.quantile(totals_R, _TAILS)
    return Estimate(value, float(low), float(high))


def _chunks(total: int, width: int) -> list[int]:
    """Return numbers of rows that sum to ``total``, each small enough for rows of ``width`` numbers to fit into
    memory."""
    size = max(1, _CHUNK // width)
    return [min(size, total - start) for start in range(0, total, size)]


def _question_means(values_Q: Floats, num_resamples: int, rng: np.random.Generator) -> Floats:
    """Return means of Q values drawn with replacement, [R]."""
    count = len(values_Q)
    parts = [
        values_Q[rng.integers(0, count, size=(size, count))].mean(axis=1) for size in _chunks(num_resamples, count)
    ]
    return np.concatenate(parts)


def _binary_means(rows: list[Floats], level: Level, num_resamples: int, rng: np.random.Generator) -> Floats:
    """Return resampled means, [R], for scores of 0 and 1: questions with equally many right of equally many samples are
    alike, and the number of right ones among n samples drawn from K with c right is Binomial(n, c / K)."""
    counts = np.array([(row.sum(), len(row)) for row in rows], dtype=np.int64)
    kinds, members = np.unique(counts, axis=0, return_counts=True)
    correct, samples = kinds[:, 0], kinds[:, 1]
    if level == "both":
        members = rng.multinomial(len(rows), members / len(rows), size=num_resamples)
    drawn = samples if level == "both" else samples - 1
    right = rng.binomial(members * drawn, correct / samples, size=(num_resamples, len(kinds)))
    return np.asarray((right / drawn).sum(axis=1) / len(rows))


def _sample_means(rows: list[Floats], level: Level, num_resamples: int, rng: np.random.Generator) -> Floats:
    """Return resampled means, [R], for scores of any kind: for each question, how often each resample contains it, and
    new samples."""
    totals, left = np.zeros(num_resamples), np.full(num_resamples, len(rows))
    for index, row in enumerate(rows):
        times = np.ones_like(left)
        if level == "both":
            times = rng.binomial(left, 1 / (len(rows) - index))  # a multinomial, one cell after the other
            left = left - times
        drawn = len(row) if level == "both" else len(row) - 1
        owners = np.repeat(np.arange(num_resamples), times)
        picks = rng.integers(0, len(row), size=(len(owners), drawn), dtype=np.uint16)
        totals += np.bincount(owners, weights=row[picks].mean(axis=1), minlength=num_resamples)
    return totals / len(rows)
