"""DROP's metric: numbers worked out by hand."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1ray.checks import Reading
from r1ray.reward.reading import best_pairing, normalise, reading_score, score_spans, short_answer


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The  Cat", "cat"),
        ("4-yard", "4.0 yard"),
        ("4.0", "4.0"),
        ("1,200", "1200.0"),
        ("an apple, a pear", "apple pear"),
        ("U.S.", "us"),
        ("...", ""),
    ],
)
def test_answers_are_normalised(text: str, normal: str) -> None:
    assert normalise(text) == normal


@pytest.mark.parametrize(
    ("predicted", "gold", "exact", "f1"),
    [
        (["4"], ["4"], 1.0, 1.0),
        (["4 yards"], ["4"], 0.0, 0.67),  # 1 of 2 words right, all of 1 found: 2 * 1 / 3
        (["5 yards"], ["4 yards"], 0.0, 0.0),  # the gold span has a number, and it is not shared
        (["the red fox"], ["red fox jumps"], 0.0, 0.8),  # 2 * 2 / (2 + 3)
        (["Lee", "Park"], ["Park", "Lee"], 1.0, 1.0),
        (["Lee"], ["Park", "Lee"], 0.0, 0.5),
        (["Lee", "Kim", "Park"], ["Park", "Lee"], 0.0, 0.67),
        (["Ann Lee", "Lee"], ["Lee", "Ann Lee"], 1.0, 1.0),
        ([], ["x"], 0.0, 0.0),
    ],
)
def test_spans_are_aligned(predicted: list[str], gold: list[str], exact: float, f1: float) -> None:
    assert score_spans(predicted, gold) == (exact, f1)


@given(st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=4))
def test_the_best_pairing_is_the_best_of_all(table: list[list[float]]) -> None:
    rows, columns = len(table), 3
    if rows <= columns:
        sums = [sum(table[i][p] for i, p in enumerate(order)) for order in itertools.permutations(range(3), rows)]
    else:
        sums = [sum(table[p][j] for j, p in enumerate(order)) for order in itertools.permutations(range(rows), 3)]
    assert best_pairing(table) == pytest.approx(max(sums))


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>1</think>It was so.\nAnswer: 24", "24"),
        ("Answer: 3\nNo:\n**Answer:** 4", "4"),
        ("答案\uff1a二十四", "二十四"),
        (r"so \boxed{7}", "7"),
        ("<think>.</think><answer>blue</answer>", "blue"),
        ("<think>.</think><answer>It is.\nAnswer: blue</answer>", "blue"),
        ("Lee", "Lee"),
        ("one line\nand another", None),
        ("<think>24", None),
    ],
)
def test_the_short_answer_of_a_response(text: str, answer: str | None) -> None:
    assert short_answer(text) == answer


def test_the_best_of_several_gold_answers_counts() -> None:
    score = reading_score(Reading((("24 points",), ("24",))), "Answer: 24")
    assert (score.value, score.metrics) == (1.0, {"exact_match": 1.0, "f1": 1.0})
    wrong = reading_score(Reading((("Lee", "Park"),)), "Answer: Lee | Kim")
    assert (wrong.value, wrong.metrics) == (0.0, {"exact_match": 0.0, "f1": 0.5})


def test_no_answer_scores_nothing() -> None:
    score = reading_score(Reading((("24",),)), "<think>24")
    assert (score.value, score.label, score.metrics["f1"]) == (0.0, "no_answer", 0.0)
