"""What only sets the type of an answer is cut before it is read."""

from __future__ import annotations

import pytest

from r1ray.reward.math.typeset import typeset


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        (r"\textcolor{red}{7}", "{7}"), (r"\color{red}7", "7"), (r"\phantom{42}", ""), (r"4\hphantom{2}", "4"),
        (r"\SI{9.8}{\metre\per\second\squared}", r"9.8\text{ metre/ second^2}"), ("1_000_000", "1000000"),
        ("^3/_4", r"\frac{3}{4}"), (r"{6 \choose 2}", r"\binom{6}{2}"), ("_6C_2", "C_{6}^{2}"), ("x_100", "x_100"),
        (r"6.02\text{E}23", "6.02e23"), ("101_2", "101_2"),
    ],
)  # fmt: skip
def test_only_what_is_printed_counts(text: str, printed: str) -> None:
    assert typeset(text).replace("  ", " ").strip() == printed
