"""A metric with its two 95 % intervals, by drawing again what it is made of.

Two intervals, after :func:`r1ray.evaluation.statistics.bootstrap`. ``over_questions`` is about other questions of this
kind, and is the one to report. ``over_samples`` is about the same benchmark run again, and needs 2 scored samples of
every question.

An interval over questions has no width where every question has the same value (everything right), and says nothing
there. A share then has Wilson's interval with the number of *questions* as trials, whatever the number of samples:
samples of one question are not independent trials of new questions, so this is the cautious choice, and with one sample
a question it is Wilson's own case. What is no share (a length, a rating) has None, and so has every metric over samples
where drawing them again changes nothing.
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
    """One number; an interval is None where the metric has no such one."""

    value: float
    over_questions: Interval | None = None
    over_samples: Interval | None = None


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Draws again what a metric is made of."""

    seed: int
    num_resamples: int

    @property
    def rng(self) -> np.random.Generator:
        """Every metric starts anew: what stands before it changes nothing."""
        return np.random.default_rng(self.seed)

    def mean(self, values: Values, *, is_share: bool = True) -> Metric:
        """The mean over questions of means over samples."""
        over_questions = self._of(values, "questions")
        fewest = min(map(len, values))
        return Metric(
            over_questions.value,
            _width_or_wilson(over_questions, len(values)) if is_share else _width(over_questions),
            _width(self._of(values, "samples")) if fewest > 1 else None,
        )

    def choice(self, values: Sequence[float], again: Callable[[], Floats] | None) -> Metric:
        """The mean of one value a question that a whole set of samples decides; ``again`` draws such sets anew and
        gives the mean of each [R].

        Sets that are drawn with replacement repeat samples: votes in them are less sure, and a right sample among
        them rarer. The value itself is not biased, so the drawn means are moved until their mean is the value, and
        only their spread counts.
        """
        over_questions = self.mean([[value] for value in values])
        if again is None:
            return over_questions
        totals_R = again()
        value = over_questions.value
        moved_R = np.clip(totals_R - totals_R.mean() + value, 0.0, 1.0)
        return replace(over_questions, over_samples=_width(percentiles(value, moved_R)))

    def weighted(self, metric: Weighted, metrics_NF: Floats, sizes: Sequence[int]) -> Metric:
        """A function of the metrics of all samples, ``sizes`` of them for each question."""
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
    """Weights [R, N] of all samples, some resamples at a time: of questions drawn again with their samples, or of K - 1
    samples drawn from the K of each question."""
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
    """[R, count]: how often each row of ``picks`` has each of ``count``."""
    rows = len(picks)
    offsets = np.arange(rows)[:, None] * count
    return np.bincount((picks + offsets).ravel(), minlength=rows * count).reshape(rows, count)


def percentiles(value: float, totals_R: Floats) -> Estimate:
    """The 95 % interval of resampled values; it always holds the value."""
    low, high = np.quantile(totals_R, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value, min(float(low), value), max(float(high), value))


def _width(estimate: Estimate) -> Interval | None:
    return Interval(estimate.low, estimate.high) if estimate.high - estimate.low > _NO_WIDTH else None


def _width_or_wilson(estimate: Estimate, num_questions: int) -> Interval:
    """Where a share's interval has no width, Wilson's of the next whole numbers of questions around it."""
    interval = _width(estimate)
    if interval is not None:
        return interval
    num_right = min(max(estimate.value, 0.0), 1.0) * num_questions
    below, above = math.floor(num_right + _NO_WIDTH), math.ceil(num_right - _NO_WIDTH)
    low = wilson_interval(below, num_trials=num_questions).low
    return Interval(low, wilson_interval(above, num_trials=num_questions).high)
