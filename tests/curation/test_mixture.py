from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1ray.curation.mixture import apportion, mix

SOURCES = {"reasoning": [f"r{i}" for i in range(60)], "other": [f"o{i}" for i in range(40)]}
RATIOS = st.lists(st.floats(0.01, 100, allow_nan=False), min_size=1, max_size=6)


@given(RATIOS, st.integers(0, 300), st.integers(0, 5))
def test_every_source_is_within_a_row_of_its_share(ratios: list[float], total: int, seed: int) -> None:
    names = [str(i) for i in range(len(ratios))]
    sources = {name: [(name, i) for i in range(300)] for name in names}
    mixture = mix(sources, dict(zip(names, ratios, strict=True)), seed=seed, total=total)
    taken = Counter(name for name, _ in mixture.rows)
    assert len(mixture.rows) == len(set(mixture.rows)) == total
    for name, ratio in zip(names, ratios, strict=True):
        exact = total * Fraction(str(ratio)) / sum(Fraction(str(r)) for r in ratios)
        assert abs(taken[name] - exact) < 1


@given(RATIOS, st.lists(st.integers(1, 50), min_size=6, max_size=6))
def test_without_a_total_the_smallest_source_decides(ratios: list[float], sizes: list[int]) -> None:
    sources = {str(i): list(range(size)) for i, size in enumerate(sizes[: len(ratios)])}
    wanted = {str(i): ratio for i, ratio in enumerate(ratios)}
    total = mix(sources, wanted, seed=0).report.total
    whole = sum(Fraction(str(ratio)) for ratio in ratios)
    exact = [Fraction(str(ratio)) / whole for ratio in ratios]
    assert all(total * share <= size for share, size in zip(exact, sizes, strict=False))
    assert any((total + 1) * share > size for share, size in zip(exact, sizes, strict=False))


def test_decimal_ratios_are_exact() -> None:
    mixture = mix({"a": range(70), "b": range(30)}, {"a": 0.7, "b": 0.3}, seed=0)
    assert mixture.report.total == 100


def test_the_seed_decides_and_the_order_of_the_mapping_does_not() -> None:
    ratios = {"reasoning": 3, "other": 1}
    one = mix(SOURCES, ratios, seed=1, total=40)
    assert mix(dict(reversed(SOURCES.items())), ratios, seed=1, total=40) == one
    assert mix(SOURCES, ratios, seed=2, total=40).rows != one.rows


def test_rows_are_shuffled_across_sources() -> None:
    rows = mix(SOURCES, {"reasoning": 1, "other": 1}, seed=0, total=80).rows
    assert 10 <= sum(row.startswith("r") for row in rows[:40]) <= 30


def test_another_source_changes_nothing_in_what_is_drawn_of_one() -> None:
    alone = set(mix(SOURCES, {"reasoning": 1, "other": 1}, seed=0, total=20).rows)
    sources = SOURCES | {"more": [f"m{i}" for i in range(50)]}
    with_more = set(mix(sources, {"reasoning": 1, "other": 1, "more": 1}, seed=0, total=30).rows)
    assert alone == {row for row in with_more if not row.startswith("m")}


def test_a_source_that_is_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="other has 40 rows, and 50 are needed for a total of 100"):
        mix(SOURCES, {"reasoning": 1, "other": 1}, seed=0, total=100)


def test_oversampling_takes_every_row_equally_often_within_one() -> None:
    mixture = mix(SOURCES, {"reasoning": 1, "other": 1}, seed=0, total=190, oversample=True)
    counts = Counter(mixture.rows)
    assert {counts[row] for row in SOURCES["other"]} == {2, 3}
    assert {counts[row] for row in SOURCES["reasoning"]} == {1, 2}
    shares = [(s.name, s.num_available, s.num_taken, s.num_distinct) for s in mixture.report.sources]
    assert shares == [("other", 40, 95, 40), ("reasoning", 60, 95, 60)]


def test_an_empty_source_cannot_be_oversampled() -> None:
    with pytest.raises(ValueError, match="a has 0 rows"):
        mix({"a": [], "b": [1]}, {"a": 1, "b": 1}, seed=0, total=2, oversample=True)


def test_a_ratio_of_zero_leaves_a_source_out() -> None:
    assert mix({"a": [], "b": [1, 2]}, {"a": 0, "b": 1}, seed=0).report.total == 2


@pytest.mark.parametrize(
    ("ratios", "message"),
    [
        ({"reasoning": 1}, "needs one for each"),
        ({"reasoning": 1, "other": -1}, "at least 0"),
        ({"reasoning": 0, "other": 0}, "one above it"),
        ({"reasoning": float("nan"), "other": 1}, "at least 0"),
    ],
)
def test_ratios_that_mean_nothing_are_refused(ratios: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mix(SOURCES, ratios, seed=0)


def test_a_negative_total_is_refused() -> None:
    with pytest.raises(ValueError, match="total is -1"):
        mix(SOURCES, {"reasoning": 1, "other": 1}, seed=0, total=-1)


def test_equal_remainders_go_to_the_first_names() -> None:
    assert apportion(2, dict.fromkeys("abc", Fraction(1, 3))) == {"a": 1, "b": 1, "c": 0}
