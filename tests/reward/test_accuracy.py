from __future__ import annotations

import time

import pytest

from r1ray.reward.accuracy import accuracy_reward, extract_answer
from r1ray.types import Response
from tests.fakes import make_prompt


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>2+2</think><answer>4</answer>", "4"),
        ("<answer>3</answer> no <answer> 4 </answer>", "4"),
        ("<answer>4", None),
        ("4", None),
        ("<answer></answer>", None),
        ("</answer>4<answer>", None),
        ("<answer>a<answer>4</answer>", "4"),
    ],
)
def test_the_last_closed_answer_counts(text: str, answer: str | None) -> None:
    assert extract_answer(text) == answer


@pytest.mark.parametrize(
    ("reference", "given", "reward"),
    [
        ("29", "29", 1.0),
        ("29", "29.0", 1.0),
        ("29", "+29", 1.0),
        ("1,234", "1234", 1.0),
        ("0.5", ".5", 0.0),
        ("29", "2 9", 0.0),
        ("29", "29 apples", 0.0),
        ("-3", "3", 0.0),
        ("x+1", "x+1", 1.0),
        ("10000000000000001", "10000000000000000", 0.0),
    ],
)
def test_numbers_are_compared_exactly(reference: str, given: str, reward: float) -> None:
    response = Response(f"<answer>{given}</answer>", finished=True)
    assert accuracy_reward(make_prompt(answer=reference), response) == reward


def test_a_huge_number_takes_no_time() -> None:
    start = time.monotonic()
    assert accuracy_reward(make_prompt(), Response(f"<answer>{'9' * 10**6}</answer>", finished=True)) == 0.0
    assert time.monotonic() - start < 0.5
