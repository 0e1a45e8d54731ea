"""Effects of a recipe's stage on held-out questions: metrics of two evaluations, compared question by question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from r1ray.evaluation.records import Answered, Sample
from r1ray.evaluation.statistics import Estimate, compare, means_of

EFFECT, BEFORE, CHANGE = "effect/", "before/", "change/"
"""Prefixes of metrics of a stage. After the first two comes the name of an evaluation and of a metric: the difference
to that evaluation, and the value there. After the third comes the name of a metric: its change by training, from the
first evaluation to the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One metric before and after."""

    metric: str
    """``pass@1``, ``length_mean``, or a part of the reward."""
    before: float
    after: float
    difference: Estimate
    """After minus before, with its 95 % interval over questions (paired)."""
    expected: str
    """Expected effect, as in :class:`r1ray.config.CompareConfig`."""

    @property
    def verdict(self) -> str:
        """Outcome of the comparison with the expected effect; an interval that contains 0 shows no effect."""
        found = "up" if self.difference.low > 0 else "down" if self.difference.high < 0 else None
        if found is None:
            return "no effect shown"
        if self.expected == "any":
            return found
        return "as expected" if found == self.expected else f"{found}, not {self.expected}"


def to_metrics(effect: Effect, against: str) -> dict[str, float]:
    """Return the effect as metrics of its stage."""
    metric, difference = f"{against}/{effect.metric}", effect.difference
    interval = {f"{EFFECT}{metric}_low": difference.low, f"{EFFECT}{metric}_high": difference.high}
    return {f"{BEFORE}{metric}": effect.before, f"{EFFECT}{metric}": difference.value, **interval}


def from_metrics(metrics: Mapping[str, float], expected: Mapping[str, str], against: str) -> list[Effect]:
    """Return the effects in metrics that :func:`to_metrics` made."""
    effects = []
    for metric, direction in expected.items():
        name, before = f"{EFFECT}{against}/{metric}", metrics[f"{BEFORE}{against}/{metric}"]
        difference = Estimate(metrics[name], metrics[f"{name}_low"], metrics[f"{name}_high"])
        effects.append(
            Effect(
                metric=metric,
                before=before,
                after=before + difference.value,
                difference=difference,
                expected=direction,
            )
        )
    return effects


def effects_of(
    before: Sequence[Answered], after: Sequence[Answered], expected: Mapping[str, str], *, seed: int
) -> list[Effect]:
    """Return the effect on each metric of ``expected``, over the questions that have the metric in both evaluations.

    Raises:
        ValueError: a metric that no question has in both.
    """
    by_id = {question.id: question for question in before}
    effects = []
    for metric, direction in expected.items():
        pairs = [(_values(by_id[q.id], metric), _values(q, metric)) for q in after if q.id in by_id]
        having = [pair for pair in pairs if pair[0] and pair[1]]
        if not having:
            raise ValueError(f"{metric}: no question has it in both evaluations")
        old, new = zip(*having, strict=True)
        effects.append(
            Effect(
                metric=metric,
                before=float(means_of(old).mean()),
                after=float(means_of(new).mean()),
                difference=compare(new, old, seed=seed).difference,
                expected=direction,
            )
        )
    return effects


def _values(question: Answered, metric: str) -> list[float]:
    """Return one value for each sample that has the metric."""
    values = (_value(sample, metric) for sample in question.samples)
    return [value for value in values if value is not None]


def _value(sample: Sample, metric: str) -> float | None:
    if metric == "length_mean":
        return float(sample.num_tokens)
    if metric == "pass@1":
        return None if sample.value is None else float(sample.is_right)
    return sample.metrics.get(metric)
