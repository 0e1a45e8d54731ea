"""Pairs: both orders count, and only the summary is compared."""

from __future__ import annotations

import asyncio

import pytest

from r1ray.checks import Pairwise
from r1ray.errors import InfrastructureError
from r1ray.reward.pairwise import pairwise_score, rubric_problem
from r1ray.types import Score
from tests.reward.test_judged import Scripted


def compare(judge: Scripted, text: str = "<think>long</think>mine", rubric: str = "three_way") -> Score:
    return asyncio.run(pairwise_score(Pairwise("Write.", "theirs!", rubric), text, judge))


@pytest.mark.parametrize(
    ("grades", "preference", "label"),
    [
        (("A", "B"), 1.0, "won"),
        (("B", "A"), 0.0, "lost"),
        (("A", "A"), 0.5, "tied"),  # it favours a place
        (("tie", "B"), 0.75, "tied"),
    ],
)
def test_a_preference_is_the_mean_of_both_orders(grades: tuple[str, str], preference: float, label: str) -> None:
    score = compare(Scripted(*grades))
    assert (score.value, score.label) == (preference, label)
    assert score.metrics["length_difference"] == len("mine") - len("theirs!")


def test_the_order_is_swapped_and_the_reasoning_left_out() -> None:
    judge = Scripted("A", "B")
    compare(judge)
    first, second = judge.asked
    assert first.index("mine") < first.index("theirs!") and second.index("theirs!") < second.index("mine")
    assert "long" not in first.replace("Length", "")


def test_a_clear_verdict_counts_as_three_battles() -> None:
    score = compare(Scripted("A>>B", "A>B"), rubric="five_way")
    assert (score.value, score.metrics["wins"], score.metrics["battles"]) == (0.5, 3.0, 4.0)


def test_a_response_without_a_summary_loses_without_a_question() -> None:
    judge = Scripted()
    score = compare(judge, "<think>never ends")
    assert (score.value, score.label, score.metrics["preference"], judge.asked) == (0.0, "no_answer", 0.0, [])


def test_a_judge_that_gives_no_grade_is_a_failure_of_the_system() -> None:
    with pytest.raises(InfrastructureError, match="needs one of A, tie, B"):
        compare(Scripted("A", "C"))


def test_an_unknown_rubric_is_a_problem_of_the_row() -> None:
    assert "rubric 'kind'" in (rubric_problem(Pairwise("q", "b", "kind")) or "")
