"""Metrics worked out by hand, intervals against closed forms, and models whose pass@1 is known."""

from __future__ import annotations

import itertools
import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1ray.evaluation.statistics import (
    NUM_RESAMPLES,
    Estimate,
    Level,
    bootstrap,
    bootstrap_macro,
    compare,
    group_means,
    mcnemar_p,
    means_of,
    normal_interval,
    pass_at_1,
    pass_at_k,
    sign_flip_p,
    weighted_mean,
    wilson_interval,
)
from tests.evaluation.draws import Draws
from tests.evaluation.oracles import oracle_scores
from tests.growth import calls_of

REPETITIONS = 400


def width(estimate: Estimate) -> float:
    return estimate.high - estimate.low


# -- pass@1 and pass@k


def test_pass_at_1_weighs_every_question_alike() -> None:
    assert pass_at_1([[1, 0, 0, 1], [1, 1], [0]]) == pytest.approx((0.5 + 1 + 0) / 3)
    assert means_of(np.array([[1.0, 0.0], [1.0, 1.0]])).tolist() == [0.5, 1.0]


def test_pass_at_k_by_hand() -> None:
    """5 samples, 2 right: 3 of the 10 pairs and 1 of the 10 triples have none of them."""
    assert pass_at_k([2], num_samples=5, k=2) == pytest.approx([0.7])
    assert pass_at_k([2], num_samples=5, k=3) == pytest.approx([0.9])
    assert pass_at_k([0, 2, 5], num_samples=5, k=4).tolist() == pytest.approx([0, 1, 1])


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_is_the_share_of_subsets_with_a_right_sample(case: tuple[int, int, int]) -> None:
    n, c, k = case
    assert pass_at_k([c], num_samples=n, k=k)[0] == pytest.approx(1 - math.comb(n - c, k) / math.comb(n, k), abs=1e-12)


def test_pass_at_k_is_unbiased_for_a_known_model() -> None:
    right = oracle_scores(np.full(20_000, 0.2), samples=10, rng=np.random.default_rng(0)).sum(axis=1).astype(int)
    assert pass_at_k(right, num_samples=10, k=4).mean() == pytest.approx(1 - 0.8**4, abs=0.01)


def test_pass_at_k_is_stable_where_factorials_are_not() -> None:
    values = pass_at_k(np.arange(10_001), num_samples=10_000, k=100)
    assert np.isfinite(values).all() and (np.diff(values) >= 0).all()
    assert values[1] == pytest.approx(0.01)


def test_pass_at_k_needs_k_samples() -> None:
    with pytest.raises(ValueError, match="pass@5 needs at least 5 samples"):
        pass_at_k([1], num_samples=4, k=5)
    with pytest.raises(ValueError, match="5 right samples of 4"):
        pass_at_k([5], num_samples=4, k=1)


# -- intervals


@pytest.mark.parametrize("kind", ["binary", "real"])
def test_an_interval_over_questions_is_the_normal_one(kind: str) -> None:
    rng = np.random.default_rng(1)
    scores = oracle_scores(rng.beta(2, 2, 400), samples=8, rng=rng)
    scores = scores * rng.random(scores.shape) if kind == "real" else scores
    measured, expected = bootstrap(scores, seed=0), normal_interval(means_of(scores))
    assert measured.value == expected.value == pytest.approx(scores.mean())
    assert measured.low == pytest.approx(expected.low, abs=0.03 * width(expected))
    assert measured.high == pytest.approx(expected.high, abs=0.03 * width(expected))


@pytest.mark.parametrize("kind", ["binary", "real"])
@pytest.mark.parametrize("samples", [2, 8])
def test_an_interval_over_samples_is_that_of_a_stratified_mean(kind: str, samples: int) -> None:
    """Variance of the mean over Q fixed questions: sum of s_q^2 / K, over Q^2, with s_q^2 of ddof 1."""
    rng = np.random.default_rng(2)
    scores = oracle_scores(rng.beta(2, 2, 300), samples=samples, rng=rng)
    scores = scores * rng.random(scores.shape) if kind == "real" else scores
    variance = scores.var(axis=1, ddof=1).sum() / samples / 300**2
    assert width(bootstrap(scores, level="samples", seed=0)) == pytest.approx(2 * 1.96 * variance**0.5, rel=0.04)


@pytest.mark.parametrize("kind", ["binary", "real"])
def test_an_interval_over_both_adds_the_variance_of_drawing_samples(kind: str) -> None:
    rng = np.random.default_rng(3)
    scores = oracle_scores(rng.beta(2, 2, 300), samples=4, rng=rng)
    scores = scores * rng.random(scores.shape) if kind == "real" else scores
    variance = (scores.mean(axis=1).var() + scores.var(axis=1).mean() / 4) / 300
    assert width(bootstrap(scores, level="both", seed=0)) == pytest.approx(2 * 1.96 * variance**0.5, rel=0.04)


def test_wilson_by_hand() -> None:
    """8 of 10, z = 1.96: centre (0.8 + 0.19208) / 1.38416, half width 1.96 sqrt(0.016 + 0.0096040) / 1.38416."""
    assert wilson_interval(8, num_trials=10).low == pytest.approx(0.4902, abs=1e-4)
    assert wilson_interval(8, num_trials=10).high == pytest.approx(0.9433, abs=1e-4)


def test_with_one_sample_a_question_the_bootstrap_agrees_with_wilson() -> None:
    scores = np.repeat([1.0, 0.0], [280, 120])[:, None]
    measured, expected = bootstrap(scores, seed=0), wilson_interval(280, num_trials=400)
    assert measured.low == pytest.approx(expected.low, abs=0.005)
    assert measured.high == pytest.approx(expected.high, abs=0.005)


def test_only_wilson_doubts_a_perfect_score() -> None:
    assert bootstrap([[1, 1]] * 10, seed=0) == Estimate(1.0, 1.0, 1.0)
    assert wilson_interval(10, num_trials=10).low < 0.73


@pytest.mark.parametrize("level", ["questions", "samples", "both"])
def test_intervals_depend_on_the_seed_alone(level: Level) -> None:
    scores = [[1, 0, 0], [1, 1], [0, 0, 0, 1]]
    assert bootstrap(scores, level=level, seed=5) == bootstrap(scores, level=level, seed=5)


@given(
    st.lists(st.lists(st.floats(0, 1), min_size=2, max_size=5), min_size=1, max_size=6),
    st.sampled_from(["questions", "samples", "both"]),
)
def test_an_interval_stays_among_the_scores(scores: list[list[float]], level: Level) -> None:
    estimate = bootstrap(scores, level=level, seed=0, num_resamples=50)
    flat = list(itertools.chain(*scores))
    assert min(flat) - 1e-9 <= estimate.low <= estimate.high <= max(flat) + 1e-9


def test_what_cannot_be_estimated_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one question"):
        bootstrap([], seed=0)
    with pytest.raises(ValueError, match="at least one sample of every question"):
        bootstrap([[1.0], []], seed=0)
    with pytest.raises(ValueError, match="not a number"):
        pass_at_1([[1.0, math.nan]])
    with pytest.raises(ValueError, match="2 samples of every question"):
        bootstrap([[1, 0], [1]], level="samples", seed=0)
    with pytest.raises(ValueError, match="at least 2 questions"):
        normal_interval([1.0])


def test_resamples_of_right_and_wrong_are_drawn_by_kind_of_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions with 64 samples are of 65 kinds, however many there are."""
    rng = np.random.default_rng(0)
    right = oracle_scores(rng.random(1000), samples=64, rng=rng)
    num_calls, num_numbers = Draws(monkeypatch).of(lambda: bootstrap(right, level="both", seed=0))
    assert num_calls == 2 and num_numbers <= 2 * 65 * NUM_RESAMPLES


def test_resamples_of_other_scores_are_drawn_all_at_once_for_each_question(monkeypatch: pytest.MonkeyPatch) -> None:
    rng, draws = np.random.default_rng(0), Draws(monkeypatch)
    for num_questions, num_resamples in ((50, 400), (200, 400), (50, 1600)):
        scores = rng.random((num_questions, 16))
        work = partial(bootstrap, scores, level="both", seed=0, num_resamples=num_resamples)
        num_calls, num_numbers = draws.of(work)
        assert num_calls == 2 * num_questions
        assert num_numbers == (1 + 16) * num_questions * num_resamples
        assert calls_of(work) < 100 * num_questions


# -- coverage: the interval holds the truth as often as it says


def coverage(level: Level, *, new_questions: bool, samples: int) -> float:
    """How often the interval of a known model holds its pass@1, over seeded repetitions.

    Questions are right with chances of a Beta(2, 1): mean 2/3. The truth is 2/3 where each repetition has questions of
    its own, and the mean of the chances where all have the same.
    """
    held = 0
    fixed = np.random.default_rng(99).beta(2, 1, 150)
    for repetition in range(REPETITIONS):
        rng = np.random.default_rng(repetition)
        chances = rng.beta(2, 1, 150) if new_questions else fixed
        scores = oracle_scores(chances, samples=samples, rng=rng)
        estimate = bootstrap(scores, level=level, seed=repetition, num_resamples=1000)
        held += estimate.low <= (2 / 3 if new_questions else fixed.mean()) <= estimate.high
    return held / REPETITIONS


@pytest.mark.parametrize("samples", [1, 4, 16])
def test_intervals_over_questions_cover_the_pass_at_1_of_a_known_model(samples: int) -> None:
    assert 0.92 <= coverage("questions", new_questions=True, samples=samples) <= 0.98


@pytest.mark.parametrize("samples", [4, 16])
def test_intervals_over_samples_cover_it_for_the_same_questions(samples: int) -> None:
    assert 0.92 <= coverage("samples", new_questions=False, samples=samples) <= 0.98


def test_intervals_over_both_are_cautious() -> None:
    assert coverage("both", new_questions=True, samples=2) >= 0.96


def test_intervals_over_samples_say_nothing_of_other_questions() -> None:
    assert coverage("samples", new_questions=True, samples=16) < 0.85


def test_one_chance_for_all_questions_is_covered_too() -> None:
    """The oracle of one p: 100 questions, 8 samples, p = 0.3."""
    held = 0
    for repetition in range(REPETITIONS):
        scores = oracle_scores(np.full(100, 0.3), samples=8, rng=np.random.default_rng(repetition))
        estimate = bootstrap(scores, seed=repetition, num_resamples=1000)
        held += estimate.low <= 0.3 <= estimate.high
    assert 0.92 <= held / REPETITIONS <= 0.98


# -- comparisons


def test_sign_flips_by_hand() -> None:
    """Of the 8 sign patterns of (3, 2, 1) four have a sum of at least 4 in size: +-6 and +-4."""
    assert sign_flip_p([3, 2, -1], seed=0) == 4 / 8
    assert sign_flip_p([3, 2, 1, 0, 0], seed=0) == 2 / 8
    assert sign_flip_p([0.0, 0.0], seed=0) == 1.0


def test_drawn_sign_flips_agree_with_all_of_them() -> None:
    differences = np.random.default_rng(4).normal(0.3, 1, 13)
    exact = sign_flip_p(differences, seed=0, num_resamples=2**13)
    assert sign_flip_p(differences, seed=0, num_resamples=8000) == pytest.approx(exact, abs=0.02)


def test_a_drawn_p_value_is_never_zero() -> None:
    assert sign_flip_p([1.0] * 200, seed=0, num_resamples=999) == 1 / 1000


def test_mcnemar_by_hand() -> None:
    """1 against 5: 2 (C(6,0) + C(6,1)) / 2^6."""
    a = [True] * 5 + [False] * 1 + [True] * 10
    b = [False] * 5 + [True] * 1 + [True] * 10
    assert mcnemar_p(a, b) == mcnemar_p(b, a) == 14 / 64
    assert mcnemar_p(a, a) == 1.0
    assert mcnemar_p([True] * 3 + [False] * 3, [False] * 3 + [True] * 3) == 1.0, "3 against 3"


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=12))
def test_mcnemar_is_the_sign_flip_test_of_single_samples(pairs: list[tuple[bool, bool]]) -> None:
    a, b = [x for x, _ in pairs], [y for _, y in pairs]
    difference = np.array(a, dtype=float) - np.array(b, dtype=float)
    assert mcnemar_p(a, b) == pytest.approx(sign_flip_p(difference, seed=0))


def test_pairing_takes_out_what_both_models_find_hard() -> None:
    rng = np.random.default_rng(6)
    chances = rng.beta(0.5, 0.5, 200) * 0.9
    a = oracle_scores(chances + 0.1, samples=16, rng=rng)
    b = oracle_scores(chances, samples=16, rng=rng)
    result = compare(a, b, seed=0)
    assert result.difference.low <= 0.1 <= result.difference.high
    assert result.p_value < 0.001
    assert result.num_better > result.num_worse
    assert width(result.difference) < 0.5 * width(bootstrap(a, seed=0))
    closed = normal_interval(means_of(a) - means_of(b))
    assert result.difference.low == pytest.approx(closed.low, abs=0.03 * width(closed))


def test_models_that_are_alike_differ_as_often_as_the_level_says() -> None:
    below = outside = 0
    for repetition in range(REPETITIONS):
        rng = np.random.default_rng(repetition)
        chances = rng.beta(1, 1, 60)
        a, b = oracle_scores(chances, samples=4, rng=rng), oracle_scores(chances, samples=4, rng=rng)
        result = compare(a, b, seed=repetition, num_resamples=1000)
        below += result.p_value <= 0.05
        outside += not result.difference.low <= 0 <= result.difference.high
    assert 0.02 <= below / REPETITIONS <= 0.08
    assert 0.02 <= outside / REPETITIONS <= 0.08


def test_a_comparison_needs_the_same_questions() -> None:
    with pytest.raises(ValueError, match="there are 2 and 1"):
        compare([[1], [0]], [[1]], seed=0)


# -- groups


def test_macro_weighs_subjects_and_micro_questions() -> None:
    means = group_means([1, 1, 0, 0.5], ["law", "law", "law", "art"])
    assert means.by_group == {"law": pytest.approx(2 / 3), "art": 0.5}
    assert means.sizes == {"law": 3, "art": 1}
    assert means.macro == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert means.micro == pytest.approx(2.5 / 4)


def test_the_macro_interval_is_that_of_a_stratified_mean() -> None:
    rng = np.random.default_rng(7)
    values = np.concatenate([rng.random(200), 0.2 * rng.random(50)])
    groups = ["a"] * 200 + ["b"] * 50
    variance = (values[:200].var() / 200 + values[200:].var() / 50) / 4
    estimate = bootstrap_macro(values, groups, seed=0)
    assert estimate.value == pytest.approx(group_means(values, groups).macro)
    assert width(estimate) == pytest.approx(2 * 1.96 * variance**0.5, rel=0.04)


def test_weights_decide_a_weighted_mean() -> None:
    assert weighted_mean([1, 0], weights=[3, 1]) == 0.75
    with pytest.raises(ValueError, match="not all zero"):
        weighted_mean([1, 0], weights=[0, 0])
