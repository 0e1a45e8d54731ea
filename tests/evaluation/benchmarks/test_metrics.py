"""Metrics against numbers worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from r1ray.errors import UserError
from r1ray.evaluation.benchmarks.definition import benchmark_folder
from r1ray.evaluation.benchmarks.metrics import (
    METRICS,
    Mean,
    Weighted,
    length_controlled_winrate,
    own_metrics,
    table_of,
)
from r1ray.evaluation.benchmarks.standings import Contest, read_standings


def pair(preference: float, difference: float) -> dict[str, float]:
    return {"preference": preference, "length_difference": difference}


def test_without_differences_in_length_the_controlled_rate_is_the_win_rate() -> None:
    rows = [pair(1, 0)] * 3 + [pair(0, 0)]
    assert METRICS["lc_winrate"](rows) == pytest.approx(0.75, abs=1e-3)


def test_what_length_explains_is_taken_out() -> None:
    """Longer outputs win 3 of 4, shorter ones 1 of 4, as many of each: at equal length logit p is the mean of both."""
    rows = [pair(1, 100)] * 30 + [pair(0, 100)] * 10 + [pair(1, -100)] * 10 + [pair(0, -100)] * 30
    assert METRICS["lc_winrate"](rows) == pytest.approx(0.5, abs=1e-6)


def test_a_long_winner_is_worth_less_and_a_short_one_more() -> None:
    """theta + phi t = logit 0.9 and theta - phi t = logit 0.6, where t = tanh(+-1): theta is their mean."""
    rows = [pair(1, 50)] * 90 + [pair(0, 50)] * 10 + [pair(1, -50)] * 60 + [pair(0, -50)] * 40
    theta = (math.log(0.9 / 0.1) + math.log(0.6 / 0.4)) / 2
    assert METRICS["lc_winrate"](rows) == pytest.approx(1 / (1 + math.exp(-theta)), abs=1e-3)


def test_an_outright_winner_is_finite() -> None:
    assert 0.99 < METRICS["lc_winrate"]([pair(1, i) for i in range(100)]) <= 1.0
    assert 0.0 <= METRICS["lc_winrate"]([pair(0, 3)]) < 0.1


def test_equal_lengths_explain_nothing() -> None:
    assert METRICS["lc_winrate"]([pair(1, 0.1)] * 6 + [pair(0, 0.1)] * 4) == pytest.approx(0.6, abs=1e-3)


def test_many_weightings_are_fitted_at_once_and_each_as_if_alone() -> None:
    rows = [pair(1, 50), pair(0, 20), pair(0.5, -40), pair(1, -10), pair(0, 70)]
    counts = np.array([[1, 1, 1, 1, 1], [0, 2, 0, 3, 0], [1, 0, 3, 0, 1], [0, 0, 5, 0, 0]])
    fitted = length_controlled_winrate(table_of(rows, ("preference", "length_difference")), counts / 5)
    for count, rate in zip(counts, fitted, strict=True):
        repeated = [row for row, times in zip(rows, count, strict=True) for _ in range(times)]
        assert rate == pytest.approx(METRICS["lc_winrate"](repeated), abs=1e-7)


@pytest.mark.parametrize("name", METRICS)
def test_a_weight_of_two_is_the_response_twice(name: str) -> None:
    metric = METRICS[name]
    rng = np.random.default_rng(0)
    rows = [dict(zip(metric.names, rng.random(len(metric.names)).tolist(), strict=True)) for _ in range(4)]
    if isinstance(metric, Mean):
        assert metric(rows) == pytest.approx(sum(row[metric.name] for row in rows) / 4)
        return
    assert isinstance(metric, Weighted)
    weights = np.array([[2, 1, 0, 1]]) / 4
    twice = metric([rows[0], rows[0], rows[1], rows[3]])
    assert metric.function(table_of(rows, metric.names), weights)[0] == pytest.approx(twice)


def test_a_response_on_which_the_reward_function_failed_counts_0() -> None:
    assert METRICS["f1"]([{"f1": 1.0}, {}]) == 0.5
    assert METRICS["f_score"]([{"correct": 1.0, "incorrect": 0.0}, {}]) == pytest.approx(2 * 0.5 * 1 / 1.5)


def test_simple_qa_counts_what_was_attempted() -> None:
    grades = ["correct"] * 3 + ["incorrect"] + ["not_attempted"] * 4
    rows = [{name: float(name == grade) for name in ("correct", "incorrect", "not_attempted")} for grade in grades]
    metrics = own_metrics(["correct", "not_attempted", "correct_given_attempted", "f_score", "pass@1"], rows)
    assert metrics == {
        "correct": 3 / 8,
        "not_attempted": 0.5,
        "correct_given_attempted": 0.75,
        "f_score": 2 * 0.375 * 0.75 / (0.375 + 0.75),
    }
    nobody = [{"correct": 0.0, "incorrect": 0.0, "not_attempted": 1.0}]
    assert own_metrics(["correct_given_attempted", "f_score"], nobody) == {
        "correct_given_attempted": 0.0,
        "f_score": 0.0,
    }


def test_instructions_are_a_mean_over_instructions_and_prompts_over_prompts() -> None:
    rows = [
        {"prompt_strict": 1.0, "instructions": 1.0, "instructions_strict": 1.0},
        {"prompt_strict": 0.0, "instructions": 3.0, "instructions_strict": 2.0},
    ]
    assert own_metrics(["prompt_strict", "instruction_strict"], rows) == {
        "prompt_strict": 0.5,
        "instruction_strict": 0.75,
    }


def test_battles_are_counted_by_their_weight() -> None:
    rows = [{"wins": 6.0, "battles": 6.0}, {"wins": 0.0, "battles": 2.0}]
    assert METRICS["battle_winrate"](rows) == 0.75


def test_without_rows_there_is_no_metric() -> None:
    assert own_metrics(["winrate"], []) == {}


def test_standings_are_read_as_the_api_gives_them() -> None:
    contests = read_standings(str(benchmark_folder() / "miniature" / "codeforces_standings.jsonl"))
    assert contests == {
        "9001": Contest("9001", {"A": 500.0, "B": 1000.0, "C": 1500.0}, (1900, 1500, 1200), (3000.0, 1500.0, 500.0))
    }


@pytest.mark.parametrize(
    ("solved", "place"), [(set(), 4.0), ({"A"}, 3.5), ({"B"}, 3.0), ({"A", "B"}, 2.5), ({"A", "B", "C"}, 1.5)]
)
def test_a_place_is_behind_all_with_more_points(solved: set[str], place: float) -> None:
    (contest,) = read_standings(str(benchmark_folder() / "miniature" / "codeforces_standings.jsonl")).values()
    assert contest.place(solved) == place


EMPTY = '{"standings": {"contest": {"id": 1}, "problems": [], "rows": []}, "rating_changes": []}'


@pytest.mark.parametrize("line", ['{"standings": {}}', EMPTY])
def test_other_standings_are_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "s.jsonl").write_text(line)
    with pytest.raises(UserError, match=r"standings=.*needs standings and rating_changes"):
        read_standings(str(tmp_path / "s.jsonl"))
