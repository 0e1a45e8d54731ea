"""Words around a value that leave it what it is."""

from __future__ import annotations

import pytest

from r1ray.reward.math.spoken import without_words


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        (r"\text{The answer is } 7", "7"), (r"\text{So the final answer is: }7", "7"), (r"\text{Hence } 7", "7"),
        (r"7 \text{ (since } 3+4=7)", "7"), ("7 because 3+4=7", "7"), ("7, 因为3+4=7", "7"), (r"\text{minus }7", "-7"),
    ],
)  # fmt: skip
def test_words_that_say_nothing_of_the_value_go(text: str, rest: str) -> None:
    assert without_words(text) == rest


@pytest.mark.parametrize(
    "text", [r"\text{not } 7", r"\text{about } 7", r"\text{The answer is not } 7", r"7\text{ since it is not } 8"]
)
def test_words_that_may_take_it_back_stay(text: str) -> None:
    assert without_words(text) == text
