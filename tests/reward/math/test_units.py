"""A unit is a unit only if it is one: a name with prefix, powers and quotients, or a thing that is counted."""

from __future__ import annotations

from fractions import Fraction

import pytest

from r1ray.reward.math.exact import decide
from r1ray.reward.math.unit_table import counted, named_unit
from r1ray.reward.math.units import separate, unit_of


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [
        ("kWh", "MJ", Fraction(36, 10)), ("mA", "A", Fraction(1, 1000)), ("MW", "mW", Fraction(10**9)),
        ("N", "kg m/s^2", Fraction(1)), ("km/h", "m/s", Fraction(5, 18)), ("mph", "miles per hour", Fraction(1)),
        ("m s^-2", "meters per second squared", Fraction(1)), ("litres", "cm^3", Fraction(1000)),
        ("kΩ", "ohms", Fraction(1000)), ("μm", "micrometers", Fraction(1)), ("years", "months", Fraction(12)),
        ("sq ft", "square feet", Fraction(1)), ("平方厘米", "cm^2", Fraction(1)), ("千米", "m", Fraction(1000)),
    ],
)  # fmt: skip
def test_units_are_products_of_base_units(one: str, other: str, ratio: Fraction) -> None:
    left, right = unit_of(one), unit_of(other)
    assert left is not None and right is not None
    assert left.dimension == right.dimension and left.size / right.size == ratio


@pytest.mark.parametrize(
    "words",
    ["squared", "tenths", "(wrong)", "below zero", "halves", "tens", "root", "inverse", "score", "per thousand",
     "or more", "of them is wrong", "的一半", "不对", "以上", "分之一", "k", "n", "times", "fold", "and a half"],
)  # fmt: skip
def test_other_words_are_none(words: str) -> None:
    assert unit_of(words) is None
    assert decide("42", rf"42\text{{ {words}}}") is False


@pytest.mark.parametrize("words", ["apples", "red marbles", "ways", "ordered pairs", "cups of tea"])
def test_things_that_are_counted_are_units(words: str) -> None:
    assert decide("42", rf"42\text{{ {words}}}") is True


def test_a_prefix_is_read_in_its_case() -> None:
    milli, mega = named_unit("mN"), named_unit("MN")
    assert milli is not None and mega is not None and mega.size / milli.size == 10**9
    assert counted("marbles") == "marble" and counted("marbles squared") is None


def test_a_letter_behind_a_number_may_be_a_variable() -> None:
    assert decide("5", "5m") is False and decide("5m", "5") is False and decide("5", "5n") is False
    assert decide("5", "5 m") is True and decide("5 m", "500 cm") is True


def test_a_reference_may_count_what_nobody_knows() -> None:
    assert separate(r"7\text{ widgets}", trusted=True).text == "7"
    assert decide(r"7\text{ widgets}", "7") is True and decide("7", r"7\text{ widgets}") is False
    assert decide(r"7\text{ squared}", "7") is False


def test_a_share_is_no_length() -> None:
    assert decide(r"5\%", r"5\text{ cm}") is False and decide(r"5\text{ cm}", r"5\%") is False
