"""Text without markup, and the tokens that it is cut into."""

from __future__ import annotations

import pytest

from r1ray.reward.plain_text import tokens_of
from tests.growth import assert_linear


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        (r"$7 \times 8 = 56$", "7 * 8 = 56"),
        ("7\u00d78=56", "7 * 8 = 56"),
        ("7 x 8 is 56", "7 * 8 is 56"),
        (r"\(\frac{1}{2}\)", "1 / 2"),
        ("2**3 is **8**", "2 ^ 3 is 8"),
        (r"90^\circ or 90^{\circ}", "90 or 90"),
        (r"1{,}234", "1,234"),
        ("1,234.5 and 12,34", "1,234.5 and 12 , 34"),
        ("\u221216", "- 16"),
        ("\uff15\uff16。", "56 ."),
        ("a -> b", "a : b"),
        (r"\sqrt{16}", "\u221a 16"),
        ("1. six\n2. seven", "six seven"),
        ("1.", "1 ."),
        ("Step 1: 56", "step : 56"),
        ("3. six", "3 . six"),
    ],
)
def test_only_what_was_meant_is_left(text: str, tokens: str) -> None:
    assert " ".join(token.text for token in tokens_of(text)) == tokens


@pytest.mark.parametrize(
    "text", ["16th", "x16", "16x", "16:30", "1.2.3", "16e3", "½", "\u0665", "v1_2", "1" * 41, "16k"]
)
def test_what_has_digits_and_is_no_number_is_odd(text: str) -> None:
    kinds = {token.kind for token in tokens_of(text) if token.is_quantity}
    assert kinds == {"odd"}


@pytest.mark.parametrize(
    "unit",
    [
        "1",
        "1,234",
        ",123",
        "1.",
        "-",
        "*",
        "**a",
        "\\frac{",
        "\\",
        "x",
        " ",
        "1. a\n",
        "step 1 ",
        "<a",
        "a'",
        "^\\circ",
    ],
)
def test_a_long_text_takes_linear_time(unit: str) -> None:
    assert_linear(tokens_of, lambda number: unit * number, 30_000)
