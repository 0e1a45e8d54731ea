"""Ratings worked out by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1ray.evaluation.benchmarks.standings import Contest
from r1ray.evaluation.elo import (
    LOWEST,
    MARGIN,
    contest_rating,
    contest_ratings,
    expected_place,
    percentile,
    win_probability,
)
from r1ray.evaluation.statistics import bootstrap

fields = st.lists(st.integers(800, 3500), min_size=1, max_size=30)


def test_win_probability_by_hand() -> None:
    """400 points are ten to one; 200 are sqrt(10) to one (the source's 0.75)."""
    assert win_probability(1900, 1500) == pytest.approx(10 / 11)
    assert win_probability(1700, 1500) == pytest.approx(math.sqrt(10) / (1 + math.sqrt(10)))
    assert win_probability(1700, 1500) + win_probability(1500, 1700) == pytest.approx(1)


def test_expected_place_by_hand() -> None:
    """Among 1100, 1500 and 1900 a 1500 is beaten with chances 1/11, 1/2 and 10/11."""
    assert expected_place(1500, [1100, 1500, 1900]) == pytest.approx(1 + 1 / 11 + 1 / 2 + 10 / 11)


def test_the_middle_place_among_equals_is_their_rating() -> None:
    assert contest_rating(2, [1600, 1600]) == pytest.approx(1600, abs=1e-3)


def test_a_place_among_equals_by_hand() -> None:
    """Place 6 of 13: each of 12 equal ones is ahead with chance 5/12, so 10^(d/400) = 7/5. Place 11 of 12: 10/11."""
    assert contest_rating(6, [1500] * 12) == pytest.approx(1500 + 400 * math.log10(7 / 5), abs=1e-3)
    assert contest_rating(11, [1500] * 11) == pytest.approx(1100, abs=1e-3)


def test_a_place_between_two_contestants_by_hand() -> None:
    """Place 2 of 3: halfway, by symmetry."""
    assert contest_rating(2, [1400, 1800]) == pytest.approx(1600, abs=1e-3)


def test_winners_and_losers_are_bounded() -> None:
    assert contest_rating(1, [1500, 1700]) == pytest.approx(1700 + MARGIN, abs=1e-3)
    assert contest_rating(3, [1500, 1700]) == pytest.approx(LOWEST, abs=1e-3)


@given(fields, st.integers(1000, 3000))
def test_a_rating_is_found_again_from_its_expected_place(ratings: list[int], rating: int) -> None:
    if rating < max(ratings) + MARGIN:
        assert contest_rating(expected_place(rating, ratings), ratings) == pytest.approx(rating, abs=1e-2)


@given(fields, st.data())
def test_a_better_place_is_never_a_lower_rating(ratings: list[int], data: st.DataObject) -> None:
    places = data.draw(st.lists(st.integers(2, 2 * len(ratings) + 2), min_size=2, max_size=2).map(sorted))
    assert contest_rating(places[0] / 2, ratings) >= contest_rating(places[1] / 2, ratings) - 1e-5


def test_a_place_outside_the_contest_is_refused() -> None:
    for place in (0.5, 4):
        with pytest.raises(ValueError, match="needs one from 1 to 3"):
            contest_rating(place, [1500, 1700])


def test_standings_become_a_rating_with_an_interval() -> None:
    """Ahead of 1400 and tied with 1600 and 1800: place 2 of 4, whose rating solves the equation of the source."""
    contest = Contest("1", {"A": 500.0, "B": 1000.0}, (1400, 1600, 1800), (500.0, 1500.0, 1500.0))
    place = contest.place({"A", "B"})
    rating = contest_rating(place, contest.ratings)
    assert place == 2.0
    assert 1 + sum(1 / (1 + 10 ** ((rating - other) / 400)) for other in contest.ratings) == pytest.approx(2.0)
    runs = [contest_ratings([place, contest.place({"A"})], [contest.ratings] * 2) for _ in range(10)]
    estimate = bootstrap(runs, seed=0)
    assert estimate.low == pytest.approx(estimate.value) == pytest.approx(sum(runs[0]) / 2)


def test_percentile_counts_those_below() -> None:
    assert percentile(2029, [1000] * 963 + [2029] * 7 + [2500] * 30) == pytest.approx(96.3)
    assert percentile(900, [1000]) == 0.0
    with pytest.raises(ValueError, match="no ratings"):
        percentile(1500, [])
