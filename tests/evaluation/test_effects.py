"""Effects of a stage on held-out questions."""

from __future__ import annotations

import pytest

from r1ray.evaluation.effects import effects_of, from_metrics, to_metrics
from r1ray.evaluation.records import Answered, Sample


def sample(value: float | None, *, num_tokens: int = 5, **metrics: float) -> Sample:
    return Sample(
        text="",
        num_tokens=num_tokens,
        is_truncated=False,
        extracted=None,
        value=value,
        metrics=metrics,
        detail="",
    )


def question(name: int, *samples: Sample) -> Answered:
    return Answered(id=str(name), groups={}, num_prompt_tokens=1, samples=samples, classes=None)


BEFORE = [question(i, sample(0.0, format=0.0), sample(float(i % 2), format=1.0)) for i in range(40)]
AFTER = [question(i, sample(1.0, format=0.0, num_tokens=9)) for i in reversed(range(40))]


def test_an_effect_is_the_paired_difference_whatever_the_order() -> None:
    right, form, length = effects_of(BEFORE, AFTER, {"pass@1": "up", "format": "up", "length_mean": "any"}, seed=0)
    assert (right.before, right.after, right.difference.value) == (0.25, 1.0, 0.75)
    assert 0.65 < right.difference.low < 0.75 < right.difference.high < 0.85
    assert right.verdict == "as expected"
    assert (form.before, form.after, form.verdict) == (0.5, 0.0, "down, not up")
    assert (length.before, length.after, length.verdict) == (5.0, 9.0, "up")


def test_an_interval_with_zero_in_it_shows_nothing() -> None:
    after = [question(i, sample(float(i % 4 == 0))) for i in range(40)]
    (right,) = effects_of(BEFORE, after, {"pass@1": "up"}, seed=0)
    assert right.difference.value == 0.0
    assert right.verdict == "no effect shown"


def test_what_could_not_be_scored_is_left_out() -> None:
    after = [question(0, sample(None)), question(1, sample(None), sample(1.0)), question(99, sample(0.0))]
    (right,) = effects_of(BEFORE, after, {"pass@1": "any"}, seed=0)
    assert (right.before, right.after) == (0.5, 1.0)


def test_a_metric_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="readable: no question has it in both evaluations"):
        effects_of(BEFORE, AFTER, {"readable": "up"}, seed=0)


def test_effects_are_found_again_among_the_metrics_of_their_stage() -> None:
    expected = {"pass@1": "up", "format": "any"}
    effects = effects_of(BEFORE, AFTER, expected, seed=0)
    metrics = {name: value for effect in effects for name, value in to_metrics(effect, "eval_base").items()}
    assert from_metrics({"pass@1": 1.0, **metrics}, expected, "eval_base") == effects
