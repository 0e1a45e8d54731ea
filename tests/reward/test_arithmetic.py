"""Values of sums and products as they are written."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1ray.reward.arithmetic import evaluate


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7 * 8", 56),
        ("2 + 3 * 4", 14),
        ("( 2 + 3 ) * 4", 20),
        ("10 - 4 - 3", 3),
        ("8 / 4 / 2", 1),
        ("- 3 + 5", 2),
        ("2 * - 3", -6),
        ("2 ^ 3 ^ 2", 512),
        ("1,234.5", Fraction(2469, 2)),
        (".5", Fraction(1, 2)),
        ("007", 7),
    ],
)
def test_the_value_is_exact_and_operators_bind_as_usual(text: str, value: Fraction) -> None:
    assert evaluate(text.split()) == value


@pytest.mark.parametrize(
    "text",
    ["", "+", "7 *", "* 7", "( 7", "7 )", "7 8", "1 / 0", "2 ^ 65", "2 ^ -1", "9 ^ 9 ^ 9", "0 ^ ( 1 / 2 )", "( )"],
)
def test_what_is_no_expression_has_no_value(text: str) -> None:
    assert evaluate(text.split()) is None


@given(st.lists(st.sampled_from([*"+-*/^()", "0", "2", "9,999.5"]), max_size=64))
def test_nothing_is_raised_whatever_the_tokens(tokens: list[str]) -> None:
    value = evaluate(tokens)
    assert value is None or isinstance(value, Fraction)
