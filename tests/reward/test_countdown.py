"""Countdown: an expression of the given numbers that comes to the target."""

from __future__ import annotations

import pytest

from r1ray.checks import Countdown
from r1ray.reward.countdown import countdown_score

CHECK = Countdown((44, 19, 35), 98)


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("44 + 19 + 35", 1.0),
        ("35 + (44 + 19) = 98", 1.0),
        (r"\boxed{44 + 19 + 35}", 1.0),
        (r"$44 + \left(19 + 35\right)$", 1.0),
        ("98", 0.0),
        ("44 + 19 + 35 + 0", 0.0),
        ("44 + 44 + 10", 0.0),
        ("44 + 19 - 35", 0.0),
        ("44 + 54", 0.0),
        ("44 + 19 + 3_5", 0.0),
        ("(44 + 19 + 35) if True else 0", 0.0),
        ("__import__('os').system('true')", 0.0),
        ("44 ** 19 ** 35", 0.0),
        ("44 / (19 - 19) + 35", 0.0),
        ("(" * 150 + "44", 0.0),
        ("44 +", 0.0),
        ("1" * 5000, 0.0),
    ],
)
def test_an_expression_counts_by_its_numbers_and_its_value(answer: str, value: float) -> None:
    assert countdown_score(CHECK, f"<think>hm</think> <answer>{answer}</answer>").value == value


def test_fractions_are_exact() -> None:
    text = r"<answer>\frac{1}{3} \times 3</answer>"
    assert countdown_score(Countdown((1, 3, 3), 1), text).value == 1.0


def test_a_response_without_an_answer_is_wrong() -> None:
    assert countdown_score(CHECK, "44 + 19 + 35").label == "no_answer"
