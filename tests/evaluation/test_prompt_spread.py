"""The spread of pass@1 over prompts, against numbers that are counted by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from r1ray.evaluation.prompt_spread import prompt_spread
from r1ray.evaluation.records import Answered, Sample


def answered(number: int, values: Sequence[float | None]) -> Answered:
    samples = tuple(
        Sample(text="", num_tokens=1, is_truncated=False, extracted="1", value=value, metrics={}, detail="")
        for value in values
    )
    return Answered(id=str(number), groups={}, num_prompt_tokens=1, samples=samples, classes=None)


def answers(*rows: Sequence[float | None]) -> list[Answered]:
    return [answered(number, values) for number, values in enumerate(rows)]


def drawn(rng: np.random.Generator, shares: Sequence[float], *, samples: int) -> list[Answered]:
    return answers(*(rng.binomial(1, share, samples).astype(float).tolist() for share in shares))


def test_the_spread_is_the_highest_less_the_lowest_pass_at_1() -> None:
    found = prompt_spread(
        {
            "zero_shot": answers([1, 1], [1, 0], [0, 0], [1, 1]),  # 5 of 8
            "few_shot": answers([1, 0], [0, 0], [0, 0], [1, 1]),  # 3 of 8
            "own_1": answers([1, 1], [1, 0], [1, 0], [1, 1]),  # 6 of 8
        },
        seed=0,
    )
    assert {name: metric.value for name, metric in found.by_prompt.items()} == pytest.approx(
        {"zero_shot": 5 / 8, "few_shot": 3 / 8, "own_1": 6 / 8}
    )
    assert (found.highest, found.lowest) == ("own_1", "few_shot")
    assert found.spread.value == pytest.approx(3 / 8) and found.mean.value == pytest.approx(14 / 24)
    interval = found.spread.over_questions
    assert interval is not None and interval.low <= 3 / 8 <= interval.high
    assert (found.num_questions, found.num_left_out) == (4, 0)


def test_the_chance_of_a_spread_is_the_one_that_is_counted() -> None:
    """One question, a right and a wrong sample: dealt out anew, the spread is 1 always. Two of them, with two prompts:
    the two right ones are in the same prompt half the time, and the spread is 1 then and 0 else."""
    one = prompt_spread({"a": answers([1]), "b": answers([0])}, seed=0)
    assert (one.by_chance, one.p_value) == (1.0, 1.0)
    two = prompt_spread({"a": answers([1], [1]), "b": answers([0], [0])}, seed=0, num_resamples=4000)
    assert two.by_chance == pytest.approx(0.5, abs=0.05) and two.p_value == pytest.approx(0.5, abs=0.05)


def test_where_the_prompt_does_not_matter_the_spread_is_that_of_chance() -> None:
    """Over many data sets, p is below 0.1 in a tenth of them, and the spread is on average what chance makes."""
    rng, p_values, ratios = np.random.default_rng(0), [], []
    for seed in range(60):
        shares = rng.random(24)
        found = prompt_spread({name: drawn(rng, shares, samples=4) for name in "abcd"}, seed=seed, num_resamples=200)
        p_values.append(found.p_value)
        ratios.append(found.spread.value / found.by_chance)
    assert np.mean(np.array(p_values) < 0.1) < 0.25
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.15)


def test_a_prompt_that_harms_is_found_and_its_interval_holds_the_truth() -> None:
    rng, hits = np.random.default_rng(1), 0
    for seed in range(40):
        shares = rng.uniform(0.3, 0.9, 60)
        by_prompt = {"a": drawn(rng, shares, samples=4), "b": drawn(rng, shares - 0.25, samples=4)}
        found = prompt_spread(by_prompt, seed=seed, num_resamples=200)
        assert found.lowest == "b" and found.p_value < 0.02
        interval = found.spread.over_questions
        assert interval is not None
        hits += interval.low <= 0.25 <= interval.high
    assert hits >= 33


def test_questions_that_some_prompt_has_no_score_of_are_left_out() -> None:
    found = prompt_spread({"a": answers([1], [0], [None]), "b": answers([1], [1], [1])}, seed=0)
    assert (found.num_questions, found.num_left_out) == (2, 1)
    assert found.by_prompt["a"].value == 0.5
    with pytest.raises(ValueError, match="no question has a scored sample in every prompt"):
        prompt_spread({"a": answers([None]), "b": answers([1])}, seed=0)


def test_prompts_may_have_unlike_numbers_of_samples() -> None:
    found = prompt_spread({"a": answers([1, 1, 0]), "b": answers([1])}, seed=0)
    assert found.spread.value == pytest.approx(1 / 3)
