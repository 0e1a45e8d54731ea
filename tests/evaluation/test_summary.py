"""Metrics worked out by hand, and intervals of models whose pass@1 is known."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1ray.algo.consensus import answer_classes
from r1ray.evaluation.benchmarks.metrics import METRICS
from r1ray.evaluation.benchmarks.standings import Contest
from r1ray.evaluation.records import Answered, Sample
from r1ray.evaluation.resampling import Interval, Metric
from r1ray.evaluation.statistics import wilson_interval
from r1ray.evaluation.summary import NUM_RESAMPLES, compare_models, group_metrics, metrics_of
from tests.evaluation.draws import Draws
from tests.evaluation.oracles import oracle_scores
from tests.growth import calls_of

REPETITIONS = 400


def sample(
    answer: str | None = "x",
    value: float | None = 1.0,
    *,
    score: float | None = None,
    num_tokens: int = 1,
    is_truncated: bool = False,
    metrics: dict[str, float] | None = None,
) -> Sample:
    return Sample(
        text="",
        num_tokens=num_tokens,
        is_truncated=is_truncated,
        extracted=answer,
        value=value,
        metrics=metrics or {},
        detail="",
        score=score,
    )


def answered(name: str, samples: Sequence[Sample], **groups: str) -> Answered:
    classes = answer_classes([each.extracted for each in samples], equivalent=lambda a, b: False)
    return Answered(id=name, groups=groups, num_prompt_tokens=1, samples=tuple(samples), classes=tuple(classes))


def judged(name: str, values: Sequence[float | None], **groups: str) -> Answered:
    """Right answers are all alike, and so are wrong ones."""
    return answered(name, [sample("right" if value == 1 else "wrong", value) for value in values], **groups)


def voted(name: str, answers: str, *, right: str = "a") -> Answered:
    """One letter a sample; ``-`` is no answer, ``?`` one that could not be scored."""
    made = [
        sample(None if letter == "-" else letter, None if letter == "?" else float(letter == right))
        for letter in answers
    ]
    return answered(name, made)


def values_of(metrics: dict[str, Metric]) -> dict[str, float]:
    return {name: metric.value for name, metric in metrics.items()}


def value_of(questions: Sequence[Answered], metric: str) -> float:
    return metrics_of(questions, [metric], seed=0, num_resamples=50)[metric].value


# -- pass@1 and pass@K


def test_pass_at_1_weighs_every_question_alike() -> None:
    assert value_of([judged("1", [1, 0, 0, 1]), judged("2", [1, 1])], "pass@1") == pytest.approx(0.75)


def test_a_part_of_the_points_is_not_right() -> None:
    assert value_of([judged("1", [0.9, 1])], "pass@1") == 0.5


def test_pass_at_2_by_hand() -> None:
    """2 right of 5: 3 of the 10 pairs have none of them; 1 right of 2: the only pair has it."""
    assert value_of([judged("1", [1, 1, 0, 0, 0])], "pass@2") == pytest.approx(0.7)
    assert value_of([judged("1", [1, 1, 0, 0, 0]), judged("2", [0, 1])], "pass@2") == pytest.approx(0.85)


def test_questions_with_fewer_samples_are_left_out_and_counted() -> None:
    questions = [judged("1", [1, 0, 0]), judged("2", [0, 0]), judged("3", [0, None, 0])]
    metrics = metrics_of(questions, ["pass@3", "cons@3", "pass@1"], seed=0, num_resamples=50)
    assert metrics["pass@3"].value == 1.0 and metrics["cons@3"].value == 0.0
    assert metrics["pass@3/left_out"] == metrics["cons@3/left_out"] == Metric(2.0)
    assert "pass@1/left_out" not in metrics
    nobody = metrics_of(questions, ["pass@4"], seed=0, num_resamples=50)
    assert "pass@4" not in nobody and nobody["pass@4/left_out"].value == 3


results = st.lists(
    st.lists(st.sampled_from([0.0, 1.0, None]), min_size=4, max_size=6).filter(
        lambda row: sum(value is not None for value in row) >= 4
    ),
    min_size=1,
    max_size=6,
)


@given(results)
def test_pass_at_k_never_falls_with_k(rows: list[list[float | None]]) -> None:
    questions = [judged(str(index), row) for index, row in enumerate(rows)]
    metrics = metrics_of(questions, [f"pass@{k}" for k in (1, 2, 3, 4)], seed=0, num_resamples=20)
    values = [metrics[f"pass@{k}"].value for k in (1, 2, 3, 4)]
    assert all(lower <= higher + 1e-12 for lower, higher in itertools.pairwise(values))


# -- votes


def test_cons_at_k_by_hand() -> None:
    """Right 2 to 1; wrong 2 to 1; a tie that a wins by coming first; one that it loses; nobody votes."""
    questions = [voted("1", "aab-"), voted("2", "bba-"), voted("3", "abba"), voted("4", "baab"), voted("5", "----")]
    metrics = metrics_of(questions, ["cons@4"], seed=0, num_resamples=50)
    assert metrics["cons@4"].value == pytest.approx(2 / 5)
    assert metrics["cons@4/tie_rate"].value == pytest.approx(2 / 5)


def test_a_vote_of_fewer_is_the_mean_over_sets_of_samples() -> None:
    """a b b: of the three pairs two are ties that a wins by coming first, and one is lost."""
    metrics = metrics_of([voted("1", "abb")], ["cons@2", "cons@3", "cons@1"], seed=0, num_resamples=50)
    assert metrics["cons@2"].value == pytest.approx(2 / 3)
    assert metrics["cons@2/tie_rate"].value == 1.0, "of the first two"
    assert metrics["cons@3"].value == 0.0
    assert metrics["cons@1"].value == pytest.approx(1 / 3)


def test_the_class_of_an_unscored_sample_goes_on_without_it() -> None:
    """``?`` was the first of its class: a b a is left."""
    question = voted("1", "?aba")
    named = Answered(
        id="1", groups={}, num_prompt_tokens=1, samples=question.samples, classes=(0, 0, 2, 0)
    )  # all but b are equivalent
    assert value_of([named], "cons@3") == 1.0


def test_a_check_without_a_vote_has_no_consensus() -> None:
    question = Answered(id="q7", groups={}, num_prompt_tokens=1, samples=(sample(),), classes=None)
    with pytest.raises(ValueError, match="cons@1: the check has no vote: question q7"):
        metrics_of([question], ["cons@1"], seed=0)
    assert value_of([question], "pass@1") == 1.0


def test_votes_that_no_drawing_can_change_have_no_interval_over_samples() -> None:
    metrics = metrics_of([voted("1", "aaaa"), voted("2", "bbbb")], ["cons@4"], seed=0)
    assert metrics["cons@4"].over_samples is None
    assert metrics["cons@4/tie_rate"].over_samples is None


def test_the_spread_of_votes_drawn_again_is_around_the_value() -> None:
    """40 questions whose winner has 6 of 9 votes: drawn with replacement it wins again with P(Bin(9, 2/3) >= 5)."""
    chance = sum(math.comb(9, c) * (2 / 3) ** c * (1 / 3) ** (9 - c) for c in range(5, 10))
    questions = [voted(str(index), "aabaabaab" if index < 32 else "bbabbabba") for index in range(40)]
    metric = metrics_of(questions, ["cons@9"], seed=0, num_resamples=4000)["cons@9"]
    assert metric.value == 0.8 and metric.over_samples is not None
    low, high = metric.over_samples
    assert high - low == pytest.approx(2 * 1.96 * (chance * (1 - chance) / 40) ** 0.5, abs=0.03)
    assert (low + high) / 2 == pytest.approx(0.8, abs=0.03)


def test_a_missing_answer_does_not_vote_when_samples_are_drawn_again() -> None:
    """Of ``aa--`` a wins with 15 of 16 sets; 4 of them have more silent samples than votes."""
    metric = metrics_of([voted(str(index), "aa--") for index in range(10)], ["cons@4"], seed=0, num_resamples=4000)
    low, _ = metric["cons@4"].over_samples or (1.0, 1.0)
    assert low == pytest.approx(1 + 1 / 16 - 0.2, abs=0.01), "two of ten questions lost, three are rarer than 1 in 40"
    assert metric["cons@4/tie_rate"].over_samples is None


# -- a reward model


def test_the_best_sample_and_the_weighted_vote_by_hand() -> None:
    """Sigmoids 0.88 for a against 2 x 0.27 for b: the weighted vote turns the majority. In the second question a wins
    the vote and has the lower scores."""
    first = [sample("b", 0.0, score=-1.0), sample("b", 0.0, score=-1.0), sample("a", 1.0, score=2.0)]
    second = [sample("a", 1.0, score=0.0), sample("a", 1.0, score=0.0), sample("b", 0.0, score=0.1)]
    metrics = metrics_of([answered("1", first), answered("2", second)], ["cons@3"], seed=0, num_resamples=50)
    assert metrics["cons@3"].value == 0.5
    assert metrics["best@3"].value == 0.5
    assert metrics["weighted_cons@3"].value == 1.0


def test_without_a_score_of_every_sample_there_is_no_best() -> None:
    half = answered("1", [sample(score=1.0), sample()])
    assert not {"best@2", "weighted_cons@2"} & metrics_of([half], ["pass@1"], seed=0).keys()


def test_without_classes_there_is_a_best_and_no_vote() -> None:
    samples = (sample(score=1000.0), sample(value=0.0, score=-1000.0))
    question = Answered(id="1", groups={}, num_prompt_tokens=1, samples=samples, classes=None)
    metrics = metrics_of([question], [], seed=0, num_resamples=50)
    assert metrics["best@2"].value == 1.0 and "weighted_cons@2" not in metrics
    assert metrics_of([answered("1", samples)], [], seed=0)["weighted_cons@2"].value == 1.0, "no score is too large"


# -- samples that could not be scored


def test_unscored_samples_are_never_wrong() -> None:
    questions = [judged("1", [1, None, 1]), judged("2", [None, None, None]), judged("3", [0, 1, 0])]
    metrics = metrics_of(questions, ["pass@1", "pass@2"], seed=0, num_resamples=50)
    assert metrics["pass@1"].value == pytest.approx((1 + 1 / 3) / 2)
    assert metrics["pass@2"].value == pytest.approx((1 + 2 / 3) / 2)
    assert metrics["unscored"] == Metric(4.0)


def test_where_nothing_was_scored_only_the_samples_are_described() -> None:
    metrics = metrics_of([judged("1", [None, None])], ["pass@1", "f1"], seed=0, num_resamples=50)
    assert list(metrics) == ["length_mean", "truncated_rate", "no_answer_rate", "unscored", "generated_tokens"]


def test_where_everything_was_scored_nothing_is_said_of_it() -> None:
    assert "unscored" not in metrics_of([judged("1", [1, 0])], ["pass@1"], seed=0, num_resamples=50)


# -- metrics of the check


def test_a_mean_is_over_questions_of_means_over_samples() -> None:
    first = answered("1", [sample(metrics={"f1": 1.0}), sample(metrics={"f1": 0.5}), sample(metrics={"f1": 0.0})])
    second = answered("2", [sample(metrics={"f1": 0.2})])
    assert value_of([first, second], "f1") == pytest.approx((0.5 + 0.2) / 2)


def test_a_ratio_is_of_sums_in_which_every_question_weighs_the_same() -> None:
    """Instructions followed: 1 of 1 in two samples, 1 of 3 in one: (1 + 1) / (1 + 3)."""
    first = [sample(metrics={"instructions": 1.0, "instructions_strict": 1.0})] * 2
    second = [sample(metrics={"instructions": 3.0, "instructions_strict": 1.0})]
    assert value_of([answered("1", first), answered("2", second)], "instruction_strict") == pytest.approx(0.5)


def test_with_one_instruction_each_a_ratio_has_the_intervals_of_a_mean() -> None:
    rng = np.random.default_rng(0)
    rows = oracle_scores(rng.beta(2, 2, 100), samples=4, rng=rng)
    questions = [
        answered(
            f"{index:03}",
            [
                sample(metrics={"prompt_strict": value, "instructions_strict": value, "instructions": 1.0})
                for value in row.tolist()
            ],
        )
        for index, row in enumerate(rows)
    ]
    metrics = metrics_of(questions, ["prompt_strict", "instruction_strict"], seed=0, num_resamples=4000)
    mean, ratio = metrics["prompt_strict"], metrics["instruction_strict"]
    assert ratio.value == pytest.approx(mean.value)
    assert ratio.over_questions == pytest.approx(mean.over_questions, abs=0.004)
    assert ratio.over_samples == pytest.approx(mean.over_samples, abs=0.004)


def test_a_metric_that_no_sample_has_is_an_error() -> None:
    with pytest.raises(ValueError, match="f1: no sample has the metric f1"):
        metrics_of([judged("1", [1])], ["f1"], seed=0)


def test_an_unknown_metric_is_an_error() -> None:
    with pytest.raises(ValueError, match="pass@all is not a metric"):
        metrics_of([judged("1", [1])], ["pass@all"], seed=0)
    with pytest.raises(ValueError, match="at least one question"):
        metrics_of([], ["pass@1"], seed=0)


# -- ratings

CONTEST = Contest("1", {"A": 500.0, "B": 1000.0}, (1500,) * 12, (2000.0,) * 5 + (1000.0,) + (0.0,) * 6)
ONLY_A, BOTH = 1500.0, 1500 + 400 * math.log10(7 / 5)
"""Ratings among 12 of 1500. With A alone 6 are ahead, half of all; with both 5 are, each with the chance 5/12."""


def test_a_rating_by_hand() -> None:
    questions = [judged("a", [1, 1], contest="1", problem="A"), judged("b", [0, 1], contest="1", problem="B")]
    metrics = metrics_of(questions, ["rating", "percentile"], seed=0, contests={"1": CONTEST}, num_resamples=200)
    assert metrics["rating"].value == pytest.approx((ONLY_A + BOTH) / 2, abs=1e-3)
    assert metrics["rating"].over_questions is None, "one contest"
    assert metrics["rating"].over_samples == pytest.approx((ONLY_A, BOTH), abs=1e-3)


def test_a_percentile_is_among_the_contestants_of_all_contests() -> None:
    """Place 2 of 3 between 1400 and 1800 is 1600, above 1 of 2 there and 12 of 12 of the other contest, where it is
    1500: the rating is 1550."""
    second = Contest("2", {"A": 500.0}, (1800, 1400), (1000.0, 0.0))
    questions = [judged("a", [1], contest="1", problem="A"), judged("c", [1], contest="2", problem="A")]
    contests = {"1": CONTEST, "2": second, "3": Contest("3", {"A": 1.0}, (3000,), (1.0,))}
    metrics = metrics_of(questions, ["percentile", "rating"], seed=0, contests=contests)
    assert metrics["rating"].value == pytest.approx(1550, abs=1e-3)
    assert metrics["percentile"].value == pytest.approx(100 * 13 / 14)
    assert list(metrics)[:2] == ["percentile", "rating"]
    interval = metrics["percentile"].over_questions
    assert interval is not None and interval.high == pytest.approx(100 * 13 / 14)


def test_the_interval_of_a_rating_is_over_contests() -> None:
    """One rating is that of A alone, one is 1520, alone between 1440 and 1600."""
    second = Contest("2", {"A": 500.0}, (1600, 1440), (1000.0, 0.0))
    questions = [
        judged("a", [1], contest="1", problem="A"),
        judged("b", [0], contest="1", problem="B"),
        judged("c", [1], contest="2", problem="A"),
    ]
    rating = metrics_of(questions, ["rating"], seed=0, contests={"1": CONTEST, "2": second})["rating"]
    assert rating.over_questions == pytest.approx((ONLY_A, 1520), abs=1e-3)
    assert rating.over_samples is None


def test_a_contest_with_an_unscored_problem_is_left_out() -> None:
    questions = [judged("a", [1, 1], contest="1", problem="A"), judged("b", [None, None], contest="1", problem="B")]
    metrics = metrics_of(questions, ["rating", "percentile"], seed=0, contests={"1": CONTEST})
    assert "rating" not in metrics and "percentile" not in metrics
    assert metrics["rating/left_out"] == Metric(1.0)


def test_ratings_need_standings_of_every_contest() -> None:
    questions = [judged(str(i), [1], contest=str(i), problem="A") for i in (1, 7, 8)]
    with pytest.raises(ValueError, match="no standings of the contests 7, 8"):
        metrics_of(questions, ["rating"], seed=0, contests={"1": CONTEST})
    assert "rating" not in metrics_of(questions, ["rating"], seed=0)


def test_ratings_need_to_know_the_problem() -> None:
    with pytest.raises(ValueError, match="question 1 has no contest and problem"):
        metrics_of([judged("1", [1])], ["rating"], seed=0, contests={"1": CONTEST})
    with pytest.raises(ValueError, match="contest 1 has no problem Z"):
        metrics_of([judged("1", [1], contest="1", problem="Z")], ["rating"], seed=0, contests={"1": CONTEST})


# -- all samples


def test_lengths_and_rates_are_of_all_samples_and_come_last() -> None:
    first = [sample(num_tokens=10), sample(None, None, num_tokens=30, is_truncated=True)]
    second = [sample("y", 0.0, num_tokens=60), sample("y", 0.0, num_tokens=60)]
    metrics = metrics_of([answered("1", first), answered("2", second)], ["cons@1", "pass@1"], seed=0, num_resamples=50)
    assert values_of(metrics) == {
        "cons@1": 0.5,
        "cons@1/tie_rate": 0.0,
        "pass@1": 0.5,
        "length_mean": 40.0,
        "truncated_rate": 0.25,
        "no_answer_rate": 0.25,
        "unscored": 1.0,
        "generated_tokens": 160.0,
    }
    assert list(metrics)[-5:] == ["length_mean", "truncated_rate", "no_answer_rate", "unscored", "generated_tokens"]


# -- intervals


@pytest.mark.parametrize("samples", [1, 4])
def test_where_everything_is_right_the_interval_is_wilsons_over_questions(samples: int) -> None:
    metrics = metrics_of([judged(str(i), [1] * samples) for i in range(10)], ["pass@1"], seed=0)
    wilson = wilson_interval(10, num_trials=10)
    assert metrics["pass@1"] == Metric(1.0, Interval(wilson.low, wilson.high), None)
    assert metrics["length_mean"] == Metric(1.0), "no share"


def test_wilsons_interval_is_that_of_the_whole_questions_around() -> None:
    """Three questions of 1/2 are 1.5 right: from the low end of 1 of 3 to the high end of 2 of 3."""
    interval = metrics_of([judged(str(i), [0, 1]) for i in range(3)], ["pass@1"], seed=0)["pass@1"].over_questions
    assert interval == (wilson_interval(1, num_trials=3).low, wilson_interval(2, num_trials=3).high)


def test_one_sample_a_question_says_nothing_of_another_run() -> None:
    questions = [voted(str(i), "ab"[i % 2]) for i in range(10)]
    metrics = metrics_of(questions, ["pass@1", "cons@1", "pass@1"], seed=0, num_resamples=50)
    assert all(metric.over_samples is None for metric in metrics.values())
    assert metrics["pass@1"].over_questions is not None


metric_names = sorted({name for metric in METRICS.values() for name in metric.names})
rich_samples = st.builds(
    sample,
    st.sampled_from(["a", "b", "c", None]),
    st.sampled_from([0.0, 0.5, 1.0, 1.0, None]),
    score=st.floats(-5, 5),
    num_tokens=st.integers(0, 100),
    is_truncated=st.booleans(),
    metrics=st.fixed_dictionaries(
        {
            name: st.just(1.0) if name in ("instructions", "battles") else st.sampled_from([0.0, 0.25, 1.0])
            for name in metric_names
        }
    ),
)
rich_questions = st.lists(st.lists(rich_samples, min_size=1, max_size=4), min_size=1, max_size=6).map(
    lambda rows: [answered(str(index), row) for index, row in enumerate(rows)]
)
EVERYTHING = ["pass@1", "pass@2", "cons@1", "cons@2", *METRICS]


@settings(max_examples=40)
@given(rich_questions)
def test_an_interval_holds_its_value(questions: list[Answered]) -> None:
    for name, metric in metrics_of(questions, EVERYTHING, seed=0, num_resamples=200).items():
        for interval in (metric.over_questions, metric.over_samples):
            if interval is not None:
                assert interval.low - 1e-9 <= metric.value <= interval.high + 1e-9, name


@settings(max_examples=20)
@given(rich_questions, st.randoms())
def test_the_order_of_the_questions_changes_nothing(questions: list[Answered], chance: random.Random) -> None:
    shuffled = list(questions)
    chance.shuffle(shuffled)
    metrics = metrics_of(questions, EVERYTHING, seed=0, num_resamples=50)
    assert metrics == metrics_of(shuffled, EVERYTHING, seed=0, num_resamples=50)
    assert list(metrics) == list(metrics_of(shuffled, EVERYTHING, seed=0, num_resamples=50))


def least_hits(repetitions: int, *, chance: float = 0.95, tail: float = 0.01) -> int:
    """What a right interval hits at least in 99 of 100 series of repetitions."""
    below = 0.0
    for hits in range(repetitions + 1):
        below += math.comb(repetitions, hits) * chance**hits * (1 - chance) ** (repetitions - hits)
        if below > tail:
            return hits
    raise AssertionError


def model(chances: npt.NDArray[np.float64], *, samples: int, rng: np.random.Generator) -> list[Answered]:
    rows = oracle_scores(chances, samples=samples, rng=rng)
    return [judged(f"{index:03}", row.tolist()) for index, row in enumerate(rows)]


@pytest.mark.parametrize("samples", [1, 4])
def test_intervals_over_questions_cover_the_pass_at_1_of_a_known_model(samples: int) -> None:
    """Chances of new questions are drawn from Beta(2, 1), whose mean is 2/3."""
    held = 0
    for repetition in range(REPETITIONS):
        rng = np.random.default_rng(repetition)
        questions = model(rng.beta(2, 1, 100), samples=samples, rng=rng)
        interval = metrics_of(questions, ["pass@1"], seed=repetition, num_resamples=500)["pass@1"].over_questions
        held += interval is not None and interval.low <= 2 / 3 <= interval.high
    assert held >= least_hits(REPETITIONS)
    assert held <= 0.985 * REPETITIONS


def test_intervals_over_samples_cover_pass_at_4_and_the_vote_of_the_same_questions() -> None:
    """Right answers are all alike, and so are wrong ones: a vote of 5 is right with P(Bin(5, p) >= 3)."""
    chances = np.random.default_rng(99).beta(1, 1, 50)
    any_right = float((1 - (1 - chances) ** 4).mean())
    of_five = [math.comb(5, c) * chances**c * (1 - chances) ** (5 - c) for c in (3, 4, 5)]
    majority = float(np.sum(of_five, axis=0).mean())
    held = np.zeros(2)
    for repetition in range(200):
        questions = model(chances, samples=5, rng=np.random.default_rng(repetition))
        metrics = metrics_of(questions, ["pass@4", "cons@5"], seed=repetition, num_resamples=200)
        intervals = (metrics["pass@4"].over_samples, metrics["cons@5"].over_samples)
        for index, (interval, truth) in enumerate(zip(intervals, (any_right, majority), strict=True)):
            held[index] += interval is not None and interval.low <= truth <= interval.high
    assert (held / 200 >= 0.9).all(), held


def test_the_interval_of_a_difference_covers_it() -> None:
    """Model a is right 0.15 more often on every question."""
    held = 0
    for repetition in range(REPETITIONS):
        rng = np.random.default_rng(repetition)
        chances = 0.85 * rng.beta(2, 1, 100)
        a, b = model(chances + 0.15, samples=4, rng=rng), model(chances, samples=4, rng=rng)
        difference = compare_models(a, b, seed=repetition, num_resamples=500).comparison.difference
        held += difference.low <= 0.15 <= difference.high
    assert held >= least_hits(REPETITIONS)
    assert held <= 0.985 * REPETITIONS


# -- groups and comparisons


def test_groups_are_of_the_scored_samples() -> None:
    questions = [
        judged("1", [1, None], subject="law"),
        judged("2", [0, 1], subject="law"),
        judged("3", [None], subject="art"),
        judged("4", [0], subject="art"),
    ]
    means = group_metrics(questions, "subject")
    assert means.by_group == {"law": 0.75, "art": 0.0} and means.sizes == {"law": 2, "art": 1}


def test_models_are_compared_on_what_both_answered() -> None:
    """1 and 2 are in both; 3 is unscored in b, 4 and 5 are in one alone."""
    a = [judged("1", [1, 1]), judged("2", [1, 0]), judged("3", [1]), judged("4", [1])]
    b = [judged("5", [0]), judged("3", [None]), judged("2", [1]), judged("1", [0])]
    result = compare_models(a, b, seed=0, num_resamples=100)
    assert (result.num_questions, result.num_left_out) == (2, 3)
    assert result.comparison.difference.value == pytest.approx((1 - 0.5) / 2)
    assert (result.comparison.num_better, result.comparison.num_worse) == (1, 1)


def test_single_samples_are_compared_by_mcnemars_test() -> None:
    """12 against 3, more patterns than are drawn: 2 P(Bin(15, 1/2) <= 3)."""
    a = [judged(str(i), [float(i < 12)]) for i in range(15)]
    b = [judged(str(i), [float(i >= 12)]) for i in range(15)]
    exact = 2 * sum(math.comb(15, i) for i in range(4)) / 2**15
    assert compare_models(a, b, seed=0).comparison.p_value == exact
    assert compare_models(b, a, seed=0).comparison.p_value == exact


def test_a_comparison_needs_common_questions_and_their_ids() -> None:
    with pytest.raises(ValueError, match="that both models have scored samples of"):
        compare_models([judged("1", [1])], [judged("2", [1])], seed=0)
    with pytest.raises(ValueError, match="an id occurs twice"):
        compare_models([judged("1", [1]), judged("1", [0])], [judged("1", [1])], seed=0)


# -- speed


def graded(num_questions: int) -> list[Answered]:
    grades = [{"correct": 1.0, "incorrect": 0.0}, {"correct": 0.0, "incorrect": 1.0}]
    return [
        answered(str(index), [sample(metrics=grades[(index + j) % 3 > 0]) for j in range(4)])
        for index in range(num_questions)
    ]


def ballots(num_questions: int, num_samples: int) -> list[Answered]:
    rng = np.random.default_rng(0)
    return [voted(str(index), "".join(rng.choice(list("abcdef-"), num_samples))) for index in range(num_questions)]


def cost(
    draws: Draws, questions: list[Answered], metric: str, num_resamples: int = NUM_RESAMPLES
) -> tuple[int, int, int]:
    """Return calls of functions, calls of a generator, and numbers that are drawn."""
    work = partial(metrics_of, questions, [metric], seed=0, num_resamples=num_resamples)
    num_calls, num_numbers = draws.of(work)
    return calls_of(work), num_calls, num_numbers


def test_the_cost_of_a_ratio_is_linear_in_the_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = Draws(monkeypatch)
    few, many = (cost(draws, graded(num_questions), "f_score") for num_questions in (500, 2000))
    assert all(much < 5 * little for little, much in zip(few, many, strict=True))
    num_calls, num_draws, num_numbers = many
    assert num_calls < 300 * 2000 and num_draws < NUM_RESAMPLES / 2  # many resamples at once
    assert num_numbers < 8 * 2000 * NUM_RESAMPLES


def test_the_cost_of_a_vote_is_linear_in_samples_and_without_a_loop_over_resamples(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draws = Draws(monkeypatch)
    few, many = (cost(draws, ballots(100, num_samples), f"cons@{num_samples}") for num_samples in (16, 64))
    assert all(much < 5 * little for little, much in zip(few, many, strict=True))
    assert cost(draws, ballots(100, 64), "cons@64", 4 * NUM_RESAMPLES)[0] < 1.5 * many[0]


def test_a_part_counts_only_where_it_applies() -> None:
    def question(name: str, metrics: dict[str, float]) -> Answered:
        made = Sample(text="", num_tokens=1, is_truncated=False, extracted=None, value=1.0, metrics=metrics, detail="")
        return Answered(id=name, groups={}, num_prompt_tokens=1, samples=(made,), classes=None)

    questions = [question("a", {"accuracy": 1.0, "style": 1.0}), question("b", {"accuracy": 1.0})]
    metrics = metrics_of(questions, ["pass@1", "part/style", "part/nobody"], seed=0)
    assert metrics["part/style"].value == 1.0
    assert "part/nobody" not in metrics


def test_a_reward_that_looks_for_no_answer_has_no_votes_and_no_share_without_one() -> None:
    nothing = [answered(f"{i}", [sample(None, float(i % 2)), sample(None, 1.0)]) for i in range(4)]
    metrics = metrics_of(nothing, ["pass@1", "cons@2"], seed=0, num_resamples=50)
    assert metrics["pass@1"].value == 0.75
    assert not any(name.startswith(("cons@", "no_answer")) for name in metrics)
