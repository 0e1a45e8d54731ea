"""Metrics with two 95 % intervals, computed by resampling.

The two intervals follow :func:`r1ray.evaluation.statistics.bootstrap`. ``over_questions`` is about other questions of
this kind, and is the one to report. ``over_samples`` is about another run of the same benchmark, and needs 2 scored
samples of every question.

An interval over questions has no width, and no meaning, if every question has the same value (everything right). A
share then has Wilson's interval with the number of *questions* as trials, whatever the number of samples: samples of
one question are not independent trials of new questions, so this is the cautious choice, and with one sample for each
question it is Wilson's own case. Metrics that are not shares (lengths, ratings) then have no interval (None); neither
does an over-samples interval without width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from r1ray.evaluation.benchmarks.metrics import Weighted
from r1ray.evaluation.statistics import CONFIDENCE, Estimate, Level, bootstrap, wilson_interval

Floats: TypeAlias = npt.NDArray[np.float64]
Values: TypeAlias = Sequence[Sequence[float]]
"""One number for each sample of each question."""
_NO_WIDTH = 1e-9
_CHUNK = 200_000  # weights held at once: 1.6 MB, which a cache holds


class Interval(NamedTuple):
    """Both ends of a 95 % interval."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Metric:
    """A number; an interval is None if the metric does not have it."""

    value: float
    over_questions: Interval | None = None
    over_samples: Interval | None = None


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Computes metrics with intervals by resampling."""

    seed: int
    num_resamples: int

    @property
    def rng(self) -> np.random.Generator:
        """A new generator for every metric, so that no metric depends on those before it."""
        return np.random.default_rng(self.seed)

    def mean(self, values: Values, *, is_share: bool = True) -> Metric:
        """Return the mean over questions of means over samples."""
        over_questions = self._of(values, "questions")
        fewest = min(map(len, values))
        return Metric(
            over_questions.value,
            _width_or_wilson(over_questions, len(values)) if is_share else _width(over_questions),
            _width(self._of(values, "samples")) if fewest > 1 else None,
        )

    def choice(self, values: Sequence[float], again: Callable[[], Floats] | None) -> Metric:
        """Return the mean of one value for each question that a whole set of samples decides; ``again`` draws new sets
        and returns the mean of each, [R].

        Sets drawn with replacement repeat samples, so votes in them are less certain and right samples rarer. The
        value itself is not biased. The drawn means are therefore shifted until their mean is the value, and only their
        spread counts.
        """
        over_questions = self.mean([[value] for value in values])
        if again is None:
            return over_questions
        totals_R = again()
        value = over_questions.value
        moved_R = np.clip(totals_R - totals_R.mean() + value, 0.0, 1.0)
        return replace(over_questions, over_samples=_width(percentiles(value, moved_R)))

    def weighted(self, metric: Weighted, metrics_NF: Floats, sizes: Sequence[int]) -> Metric:
        """Return a function of the metrics of all samples, of which each question has ``sizes``."""
        weights = 1 / np.repeat(sizes, sizes) / len(sizes)
        value = float(metric.function(metrics_NF, weights[None])[0])

        def again(level: Level) -> Estimate:
            drawn = _weightings(np.asarray(sizes), level, self.num_resamples, self.rng)
            return percentiles(value, np.concatenate([metric.function(metrics_NF, weights) for weights in drawn]))

        over_samples = _width(again("samples")) if min(sizes) > 1 else None
        return Metric(value, _width_or_wilson(again("questions"), len(sizes)), over_samples)

    def _of(self, values: Values, level: Level) -> Estimate:
        return bootstrap(values, level=level, seed=self.seed, num_resamples=self.num_resamples)


def _weightings(
    sizes_Q: npt.NDArray[np.int64], level: Level, num_resamples: int, rng: np.random.Generator
) -> Iterator[Floats]:
    """Yield weights [R, N] of all samples, some resamples at a time: of questions drawn again with their samples, or of
    K - 1 samples drawn from the K of each question."""
    count, total = len(sizes_Q), int(sizes_Q.sum())
    starts = np.cumsum(sizes_Q) - sizes_Q
    for begin in range(0, num_resamples, max(1, _CHUNK // total)):
        size = min(max(1, _CHUNK // total), num_resamples - begin)
        if level == "questions":
            times_RQ = _times(rng.integers(0, count, size=(size, count)), count)
            yield np.repeat(times_RQ / count / sizes_Q, sizes_Q, axis=1)
        else:
            owners = np.repeat(np.arange(count), sizes_Q - 1)
            picks = starts[owners] + rng.integers(0, sizes_Q[owners], size=(size, len(owners)))
            yield _times(picks, total) / np.repeat(sizes_Q - 1, sizes_Q) / count


def _times(picks: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """Return how often each row of ``picks`` contains each of ``count`` indices, [R, count]."""
    rows = len(picks)
    offsets = np.arange(rows)[:, None] * count
    return np.bincount((picks + offsets).ravel(), minlength=rows * count).reshape(rows, count)


def percentiles(value: float, totals_R: Floats) -> Estimate:
    """Return the 95 % interval of resampled values; it always contains the value."""
    low, high = np.quantile(totals_R, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value, min(float(low), value), max(float(high), value))


def _width(estimate: Estimate) -> Interval | None:
    return Interval(estimate.low, estimate.high) if estimate.high - estimate.low > _NO_WIDTH else None


def _width_or_wilson(estimate: Estimate, num_questions: int) -> Interval:
    """Return a share's interval; if it has no width, Wilson's of the next whole numbers of questions around it."""
    interval = _width(estimate)
    if interval is not None:
        return interval
    num_right = min(max(estimate.value, 0.0), 1.0) * num_questions
    below, above = math.floor(num_right + _NO_WIDTH), math.ceil(num_right - _NO_WIDTH)
    low = wilson_interval(below, num_trials=num_questions).low
    return Interval(low, wilson_interval(above, num_trials=num_questions).high)
