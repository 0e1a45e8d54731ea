"""Metrics that ``r1ray eval`` reports, each with its 95 % intervals, from judged samples.

    Answered --scored samples--> pass@1, pass@K, cons@K, metrics of the check, best@K, rating --+--> name: Metric
             --all samples-----> lengths, truncated, without an answer, unscored ---------------+

A sample that could not be scored counts in no metric of correctness, and a question without scored samples is left
out. A metric that needs K samples leaves out questions with fewer scored ones, and reports their number as
``<metric>/left_out``. Every question has the same weight. The order of the questions changes nothing. The two intervals
are those of :mod:`r1ray.evaluation.resampling`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from r1ray.algo.consensus import best_of_n, expected_consensus, is_right, majority
from r1ray.evaluation.benchmarks.definition import STANDINGS_METRICS
from r1ray.evaluation.benchmarks.metrics import METRICS, Mean, table_of
from r1ray.evaluation.benchmarks.standings import Contest
from r1ray.evaluation.elo import contest_rating, percentile
from r1ray.evaluation.records import Answered, looks_for_answers
from r1ray.evaluation.resampling import Bootstrap, Floats, Interval, Metric
from r1ray.evaluation.statistics import (
    Comparison,
    GroupMeans,
    compare,
    group_means,
    mcnemar_p,
    pass_at_k,
)
from r1ray.turns import error_rate

PART = "part/"
"""Prefix of a reward part's name in the name of its mean."""
NUM_RESAMPLES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelComparison:
    """Comparison of model a with model b, on the questions of which both have scored samples."""

    comparison: Comparison
    num_questions: int
    num_left_out: int
    """Questions of which only one of the two has scored samples."""


def metrics_of(
    questions: Sequence[Answered],
    names: Sequence[str],
    *,
    seed: int,
    contests: Mapping[str, Contest] | None = None,
    num_resamples: int = NUM_RESAMPLES,
) -> dict[str, Metric]:
    """Return the metrics of a benchmark by name, in the order of ``names``; after them:

    * ``best@K``, ``weighted_cons@K`` if a reward model scored every sample, with K samples for each question: the
      sample with the highest score, and a vote in which a sample's weight is the sigmoid of its score.
    * ``length_mean`` (tokens), ``truncated_rate``, ``no_answer_rate``, ``generated_tokens``, of all samples.
    * ``unscored``, if there are such samples: their number.
    * ``reward_mean``, ``turns_mean``, ``tool_calls_mean``, ``tool_errors_rate``, ``wait_s`` of the samples that were in
      an environment, if there are any.

    ``cons@K``, ``weighted_cons@K`` and ``no_answer_rate`` are left out if questions are not judged by answers
    (:func:`~r1ray.evaluation.records.looks_for_answers`).

    Args:
        names: ``pass@K``, ``cons@K``, names in :data:`~r1ray.evaluation.benchmarks.metrics.METRICS`,
            ``part/<name>`` of the reward, or metrics of contest standings.
        contests: contests by id; without them the metrics of standings are left out.

    Raises:
        ValueError: a metric does not exist, or these questions lack the data for it.
    """
    if not questions:
        raise ValueError("metrics need at least one question.")
    everything = sorted(questions, key=lambda question: question.id)
    scored = _scored(everything)
    draw = Bootstrap(seed, num_resamples)
    can_vote = looks_for_answers(everything)
    metrics: dict[str, Metric] = {}
    ratings: dict[str, Metric] = {}
    if scored and contests is not None and set(names) & set(STANDINGS_METRICS):
        ratings = _ratings(everything, contests, draw)
    for name in names if scored else ():
        kind, _, count = name.partition("@")
        if kind == "pass" and count.isdigit():
            metrics |= _passes(scored, int(count), draw)
        elif kind == "cons" and count.isdigit():
            metrics |= _consensus(scored, int(count), draw) if can_vote else {}
        elif name.startswith(PART):
            metrics |= _of_part(scored, name, draw)
        elif name in METRICS:
            metrics[name] = _of_check(scored, name, draw)
        elif name in STANDINGS_METRICS:
            metrics |= {each: metric for each, metric in ratings.items() if each.partition("/")[0] == name}
        else:
            raise ValueError(f"{name} is not a metric.")
    if scored and all(sample.score is not None for question in scored for sample in question.samples):
        k = max(len(question.samples) for question in everything)
        metrics |= _by_reward_model(scored, k, draw, can_vote=can_vote)
    return metrics | _of_all_samples(everything, draw, has_answers=can_vote) | _of_worlds(everything, draw)


def group_metrics(questions: Sequence[Answered], key: str) -> GroupMeans:
    """Return pass@1 by the value of ``groups[key]`` of the questions."""
    scored = _scored(questions)
    values = [np.mean([sample.is_right for sample in question.samples]) for question in scored]
    return group_means(values, [question.groups[key] for question in scored])


def compare_models(
    a: Sequence[Answered], b: Sequence[Answered], *, seed: int, num_resamples: int = NUM_RESAMPLES
) -> ModelComparison:
    """Return pass@1 of two models on the same questions, paired by id. With one scored sample for each question in
    both, the p-value is that of McNemar's exact test."""
    by_id_a, by_id_b = ({question.id: question for question in _scored(side)} for side in (a, b))
    if len(by_id_a) < len(_scored(a)) or len(by_id_b) < len(_scored(b)):
        raise ValueError("a comparison pairs questions by id, and an id occurs twice.")
    common = sorted(by_id_a.keys() & by_id_b.keys())
    if not common:
        raise ValueError("a comparison needs questions that both models have scored samples of.")
    right_a, right_b = ([_right(by_id[name]) for name in common] for by_id in (by_id_a, by_id_b))
    comparison = compare(right_a, right_b, seed=seed, num_resamples=num_resamples)
    if all(len(row) == 1 for row in right_a + right_b):
        p_value = mcnemar_p([bool(row[0]) for row in right_a], [bool(row[0]) for row in right_b])
        comparison = replace(comparison, p_value=p_value)
    return ModelComparison(
        comparison=comparison,
        num_questions=len(common),
        num_left_out=len(by_id_a.keys() ^ by_id_b.keys()),
    )


def _scored(questions: Sequence[Answered]) -> list[Answered]:
    """Return the questions with only their scored samples; classes are renamed accordingly."""
    left = []
    for question in questions:
        kept = [index for index, sample in enumerate(question.samples) if sample.value is not None]
        classes = None
        if question.classes is not None:
            names = [question.classes[index] for index in kept]
            classes = tuple(None if name is None else names.index(name) for name in names)
        if kept:
            left.append(replace(question, samples=tuple(question.samples[index] for index in kept), classes=classes))
    return left


def _right(question: Answered) -> list[float]:
    return [float(sample.is_right) for sample in question.samples]


def _with_enough(name: str, scored: list[Answered], k: int) -> tuple[list[Answered], dict[str, Metric]]:
    """Return the questions with k scored samples, and the number of those with fewer."""
    enough = [question for question in scored if len(question.samples) >= k]
    num_left_out = len(scored) - len(enough)
    return enough, {f"{name}/left_out": Metric(float(num_left_out))} if num_left_out else {}


def _can_draw_samples(questions: list[Answered]) -> bool:
    return min(len(question.samples) for question in questions) > 1


def _passes(scored: list[Answered], k: int, draw: Bootstrap) -> dict[str, Metric]:
    """Return pass@k by the unbiased estimator; pass@1 is the mean of p_i.

    For the interval over samples, right ones are drawn with the chance (right + 1/4) / (samples + 1/2). The plain share
    is 0 if no sample was right, which rules out the very events that pass@k measures: for models of known accuracy, its
    interval of pass@64 from 64 samples covered 66 % instead of 95 %, this one 97 %.
    """
    if k == 1:
        return {"pass@1": draw.mean([_right(question) for question in scored])}
    name = f"pass@{k}"
    enough, left_out = _with_enough(name, scored, k)
    if not enough:
        return left_out
    counts = [(len(question.samples), int(sum(_right(question)))) for question in enough]
    values = [float(pass_at_k(right, num_samples=samples, k=k)) for samples, right in counts]

    def again() -> Floats:
        rng, totals_R = draw.rng, np.zeros(draw.num_resamples)
        for (samples, right), members in zip(*np.unique(counts, axis=0, return_counts=True), strict=True):
            right_RQ = rng.binomial(samples, (right + 0.25) / (samples + 0.5), size=(draw.num_resamples, members))
            totals_R += pass_at_k(right_RQ, num_samples=int(samples), k=k).sum(axis=1)
        return totals_R / len(enough)

    return {name: draw.choice(values, again if _can_draw_samples(enough) else None)} | left_out


def _consensus(scored: list[Answered], k: int, draw: Bootstrap) -> dict[str, Metric]:
    """Return cons@k; for more than k samples, the exact mean over the sets of k of them. Its interval over samples is
    that of one vote of k samples, wider than that of a mean over sets. The tie rate is that of the first k samples."""
    name = f"cons@{k}"
    without = next((question.id for question in scored if question.classes is None), None)
    if without is not None:
        raise ValueError(f"{name}: the check has no vote: question {without} has no classes of answers.")
    enough, left_out = _with_enough(name, scored, k)
    if not enough:
        return left_out
    right_Q, tied_Q = [], []
    for question in enough:
        classes, correct = question.classes or (), [sample.is_right for sample in question.samples]
        vote = majority(classes[:k])
        is_whole = k == len(classes)
        right_Q.append(float(is_right(vote, correct)) if is_whole else expected_consensus(classes, correct, m=k))
        tied_Q.append(float(vote.is_tied))
    if not _can_draw_samples(enough):
        return {name: draw.choice(right_Q, None), f"{name}/tie_rate": draw.choice(tied_Q, None)} | left_out
    right_R, tied_R = _votes_again(enough, [np.ones(len(question.samples)) for question in enough], k, draw)
    return {
        name: draw.choice(right_Q, lambda: right_R),
        f"{name}/tie_rate": draw.choice(tied_Q, lambda: tied_R),
    } | left_out


def _votes_again(questions: list[Answered], weights: list[Floats], k: int, draw: Bootstrap) -> tuple[Floats, Floats]:
    """Return the share of questions whose vote of k samples, drawn with replacement, is right, and the share whose vote
    is tied, [R] each."""
    rng, rows = draw.rng, np.arange(draw.num_resamples)[:, None]
    right_R, tied_R = np.zeros(draw.num_resamples), np.zeros(draw.num_resamples)
    for question, weight in zip(questions, weights, strict=True):
        count = len(question.samples)
        correct = np.array([sample.is_right for sample in question.samples])
        names = np.array([count if name is None else name for name in question.classes or ()])
        picks = rng.integers(0, count, size=(draw.num_resamples, k))
        cells = names[picks] + rows * (count + 1)  # one column a class, the last for samples without answers
        ballots = np.bincount(cells.ravel(), weight[picks].ravel(), minlength=len(rows) * (count + 1))
        totals = ballots.reshape(len(rows), count + 1)
        totals[:, count] = -1.0
        is_most = totals == totals.max(axis=1, keepdims=True)
        is_winner = is_most.ravel()[cells]  # of classes with equally many votes, the one drawn first
        has_voters = is_winner.any(axis=1)
        right_R += correct[picks[rows[:, 0], is_winner.argmax(axis=1)]] & has_voters
        tied_R += (is_most.sum(axis=1) > 1) & has_voters
    return right_R / len(questions), tied_R / len(questions)


def _by_reward_model(scored: list[Answered], k: int, draw: Bootstrap, *, can_vote: bool) -> dict[str, Metric]:
    enough, left_out = _with_enough(f"best@{k}", scored, k)
    if not enough:
        return left_out
    scores = [np.array([sample.score for sample in question.samples], dtype=np.float64) for question in enough]
    best = [_right(question)[best_of_n(row.tolist())] for question, row in zip(enough, scores, strict=True)]

    def best_again() -> Floats:
        rng, totals_R = draw.rng, np.zeros(draw.num_resamples)
        for question, row in zip(enough, scores, strict=True):
            picks = rng.integers(0, k, size=(draw.num_resamples, k))
            chosen = picks[np.arange(draw.num_resamples), row[picks].argmax(axis=1)]
            totals_R += np.array(_right(question))[chosen]
        return totals_R / len(enough)

    metrics = {f"best@{k}": draw.choice(best, best_again if k > 1 else None)} | left_out
    if not can_vote or any(question.classes is None for question in enough):
        return metrics
    weights = [1 / (1 + np.exp(-row.clip(-500, 500))) for row in scores]  # exp overflows beyond
    weighted = [
        float(is_right(majority(question.classes or (), scores=weight), [s.is_right for s in question.samples]))
        for question, weight in zip(enough, weights, strict=True)
    ]
    again = (lambda: _votes_again(enough, weights, k, draw)[0]) if k > 1 else None
    return metrics | {f"weighted_cons@{k}": draw.choice(weighted, again)}


def _of_check(scored: list[Answered], name: str, draw: Bootstrap) -> Metric:
    """Return a metric that the check defines."""
    metric = METRICS[name]
    rows = [sample.metrics for question in scored for sample in question.samples]
    for needed in metric.names:
        if not any(needed in row for row in rows):
            raise ValueError(f"{name}: no sample has the metric {needed}.")
    sizes = [len(question.samples) for question in scored]
    metrics_NF = table_of(rows, metric.names)
    if isinstance(metric, Mean):
        return draw.mean([row.tolist() for row in np.split(metrics_NF[:, 0], np.cumsum(sizes)[:-1])])
    return draw.weighted(metric, metrics_NF, sizes)


def _of_part(scored: list[Answered], name: str, draw: Bootstrap) -> dict[str, Metric]:
    """Return the mean of a part of the reward over the questions that have it; empty if none has."""
    part = name.removeprefix(PART)
    values = [[s.metrics[part] for s in question.samples if part in s.metrics] for question in scored]
    having = [of_question for of_question in values if of_question]
    return {name: draw.mean(having, is_share=all(0 <= v <= 1 for row in having for v in row))} if having else {}


def _ratings(questions: list[Answered], contests: Mapping[str, Contest], draw: Bootstrap) -> dict[str, Metric]:
    """Return rating and percentile. The problems of a contest that sample j solves give a place, and the place gives a
    rating; the mean is over samples, then over contests, and the interval over questions is one over contests. The
    percentile is among the contestants of all these contests, and its intervals are derived from those of the rating.

    If problems have different numbers of scored samples, the smallest number is used; a contest with a problem without
    any is left out. A problem of the standings that is not among the questions counts as unsolved.
    """
    problems: dict[str, dict[str, list[float]]] = {}
    for question in questions:
        if not {"contest", "problem"} <= question.groups.keys():
            raise ValueError(f"rating: question {question.id} has no contest and problem among its groups.")
        right = [float(sample.is_right) for sample in question.samples if sample.value is not None]
        problems.setdefault(question.groups["contest"], {})[question.groups["problem"]] = right
    missing = sorted(problems.keys() - contests.keys())
    if missing:
        raise ValueError(f"rating: there are no standings of the contests {', '.join(missing)}.")
    rows = {name: _contest_ratings(contests[name], of_contest) for name, of_contest in problems.items()}
    rated = {name: row for name, row in rows.items() if row}
    num_left_out = len(rows) - len(rated)
    left_out = {"rating/left_out": Metric(float(num_left_out))} if num_left_out else {}
    if not rated:
        return left_out
    rating = draw.mean(list(rated.values()), is_share=False)
    everybody = [other for name in rated for other in contests[name].ratings]

    def outperformed(interval: Interval | None) -> Interval | None:
        return interval and Interval(percentile(interval.low, everybody), percentile(interval.high, everybody))

    of_rating = (outperformed(rating.over_questions), outperformed(rating.over_samples))
    return {"rating": rating, **left_out, "percentile": Metric(percentile(rating.value, everybody), *of_rating)}


def _contest_ratings(contest: Contest, problems: Mapping[str, list[float]]) -> list[float]:
    """Return one rating for each sample number that every problem has."""
    unknown = sorted(problems.keys() - contest.problems.keys())
    if unknown:
        raise ValueError(f"rating: contest {contest.id} has no problem {', '.join(unknown)} in its standings.")
    num_samples = min(map(len, problems.values()))
    places = [contest.place({index for index, right in problems.items() if right[j]}) for j in range(num_samples)]
    rating_of = {place: contest_rating(place, contest.ratings) for place in set(places)}
    return [rating_of[place] for place in places]


def _of_all_samples(questions: list[Answered], draw: Bootstrap, *, has_answers: bool) -> dict[str, Metric]:
    questions = [question for question in questions if question.samples]
    num_tokens = [[float(sample.num_tokens) for sample in question.samples] for question in questions]
    truncated = [[float(sample.is_truncated) for sample in question.samples] for question in questions]
    unanswered = [[float(sample.extracted is None) for sample in question.samples] for question in questions]
    num_unscored = sum(sample.value is None for question in questions for sample in question.samples)
    return {
        "length_mean": draw.mean(num_tokens, is_share=False),
        "truncated_rate": draw.mean(truncated),
        **({"no_answer_rate": draw.mean(unanswered)} if has_answers else {}),
        **({"unscored": Metric(float(num_unscored))} if num_unscored else {}),
        "generated_tokens": Metric(math.fsum(map(sum, num_tokens))),
    }


def _of_worlds(questions: list[Answered], draw: Bootstrap) -> dict[str, Metric]:
    """Return means over the samples that were in an environment; empty if none was."""
    by_question = [[sample.world for sample in question.samples if sample.world] for question in questions]
    worlds = [each for each in by_question if each]
    if not worlds:
        return {}
    rewards = [[one.reward for one in each if one.reward is not None] for each in worlds]
    means = {
        "reward_mean": [each for each in rewards if each],
        "turns_mean": [[float(one.num_turns) for one in each] for each in worlds],
        "tool_calls_mean": [[float(one.num_calls) for one in each] for each in worlds],
        "wait_s": [[one.wait_s for one in each] for each in worlds],
    }
    return {
        **{name: draw.mean(values, is_share=False) for name, values in means.items() if values},
        "tool_errors_rate": Metric(error_rate((one.num_calls, one.num_errors) for each in worlds for one in each)),
    }
