"""Wrong answers of each kind: they are wrong where one can compute it, and none is made where it might be right."""

from __future__ import annotations

from fractions import Fraction

import pytest

from r1ray.reward.audit.numbers import NUMBER_KINDS, another_value, equation, number_of, other_base, two_points


@pytest.mark.parametrize(
    ("reference", "value"),
    [
        ("42", Fraction(42)),
        ("$-7$", Fraction(-7)),
        ("0.36", Fraction(9, 25)),
        ("1{,}024", Fraction(1024)),
        ("1,024", Fraction(1024)),
        ("\\frac{1}{2}", Fraction(1, 2)),
        ("-\\dfrac{1}{2}", Fraction(-1, 2)),
        ("\\frac12", Fraction(1, 2)),
        ("3/4", Fraction(3, 4)),
        ("3/0", None),
        ("\\frac{3}{0}", None),
        ("x+1", None),
        ("1,2", None),
        ("", None),
    ],
)
def test_only_a_plain_number_has_a_value(reference: str, value: Fraction | None) -> None:
    assert number_of(reference) == value


@pytest.mark.parametrize("value", [Fraction(n, d) for n in (-12, -1, 0, 1, 2, 5, 42) for d in (1, 3)])
def test_another_value_is_another_value(value: Fraction) -> None:
    values = {number_of(answer) for answer in another_value(str(value), value)}
    assert len(values) >= 4 and not values & {value, None}


@pytest.mark.parametrize("value", [-1, 0, 1, 2, 4, 42])
def test_no_equation_has_the_reference_as_its_solution(value: int) -> None:
    left: dict[str, Fraction | int] = {
        "x+5": value + 5,
        "x-3": value - 3,
        "2x+1": 2 * value + 1,
        "3x": 3 * value,
        "x^2": value**2,
    }
    left |= {"\\frac{x}{2}": Fraction(value, 2), "x^2-4x+4": value**2 - 4 * value + 4}
    for answer in equation(str(value), Fraction(value)):
        written, _, right = answer.partition("=")
        assert written not in left or left[written] != int(right), answer


@pytest.mark.parametrize("digits", ["1101", "42", "9", "2", "1", "10"])
def test_digits_in_another_base_are_another_number(digits: str) -> None:
    for answer in other_base(digits, Fraction(digits)):
        text, _, base = answer.partition("_")
        assert int(text, int(base.strip("{}"))) != int(digits)


def test_two_points_are_a_product_of_the_reference() -> None:
    assert "1.2.3" in two_points("0.36", Fraction("0.36"))
    for answer in two_points("42", Fraction(42)):
        first, second, last = answer.split(".")
        assert Fraction(f"{first}.{second}") * Fraction(int(last), 10) == 42


@pytest.mark.parametrize("kind", NUMBER_KINDS)
def test_every_kind_has_answers_to_a_common_number_and_none_is_the_number(kind: str) -> None:
    answers = NUMBER_KINDS[kind]("42", Fraction(42))
    assert answers and "42" not in answers and len(set(answers)) == len(answers)


@pytest.mark.parametrize("value", [-1, 0, 1])
@pytest.mark.parametrize("kind", ["words that change the value", "power, root or inverse", "digits in another base"])
def test_what_many_operations_leave_as_it_is_has_no_such_answers(kind: str, value: int) -> None:
    assert NUMBER_KINDS[kind](str(value), Fraction(value)) == []
