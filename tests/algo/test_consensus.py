"""Votes counted by hand, and every subset counted one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1ray.algo.consensus import (
    Vote,
    answer_classes,
    best_of_n,
    expected_consensus,
    is_right,
    majority,
    tie_rate,
)


def never(a: str, b: str) -> bool:
    return False


def same_number(a: str, b: str) -> bool:
    return float(a) == float(b)


# -- classes


def test_equivalent_answers_are_one_class() -> None:
    assert answer_classes(["0.5", "3", "0.50", None, "3.0", ".5"], equivalent=same_number) == [0, 1, 0, None, 1, 0]


def test_answers_written_alike_are_never_compared() -> None:
    asked: list[tuple[str, str]] = []

    def equivalent(a: str, b: str) -> bool:
        asked.append((a, b))
        return False

    assert answer_classes(["7"] * 50 + [None] * 5 + ["8"] * 50 + ["7", "8"], equivalent=equivalent)[-2:] == [0, 55]
    assert asked == [("7", "8")]


def test_only_representatives_are_compared() -> None:
    asked: list[tuple[str, str]] = []

    def equivalent(a: str, b: str) -> bool:
        asked.append((a, b))
        return same_number(a, b)

    answers = ["1", "1.0", "1.00", "2", "2.0", "1.000"]
    assert answer_classes(answers, equivalent=equivalent) == [0, 0, 0, 3, 3, 0]
    assert {a for a, _ in asked} == {"1", "2"}


def test_where_equivalence_is_not_transitive_the_representative_decides() -> None:
    """0 ~ 1 and 1 ~ 2 but not 0 ~ 2: what comes first gathers what is near to it."""

    def near(a: str, b: str) -> bool:
        return abs(int(a) - int(b)) <= 1

    assert answer_classes(["0", "1", "2"], equivalent=near) == [0, 0, 2]
    assert answer_classes(["1", "0", "2"], equivalent=near) == [0, 0, 0]


# -- votes


def test_the_majority_wins_even_when_it_is_wrong() -> None:
    vote = majority(answer_classes(["3", "4", "3.0"], equivalent=same_number))
    assert vote == Vote(winner=0, weight=2.0, num_voters=3, num_classes=2, is_tied=False)
    assert not is_right(vote, [False, True, False])


def test_equivalence_turns_a_vote() -> None:
    answers, correct = ["9", "9", "1/2", "0.5", "2/4"], [False, False, True, True, True]

    def halves(a: str, b: str) -> bool:
        return {a, b} <= {"1/2", "0.5", "2/4"}

    assert not is_right(majority(answer_classes(answers, equivalent=never)), correct)
    assert is_right(majority(answer_classes(answers, equivalent=halves)), correct)


def test_a_missing_answer_does_not_vote() -> None:
    vote = majority([None, None, None, 3])
    assert (vote.winner, vote.num_voters) == (3, 1)
    nobody = majority([None, None])
    assert nobody == Vote(winner=None, weight=0.0, num_voters=0, num_classes=0, is_tied=False)
    assert not is_right(nobody, [True, True])


def test_a_tie_goes_to_the_answer_given_first_and_is_reported() -> None:
    vote = majority([0, 1, 1, 0])
    assert (vote.winner, vote.is_tied) == (0, True)
    assert tie_rate([vote, majority([0, 0]), majority([0]), majority([None])]) == 0.25


def test_scores_weigh_votes() -> None:
    assert majority([0, 1, 1], scores=[0.9, 0.4, 0.4]).winner == 0
    assert majority([0, 1, 1], scores=[0.7, 0.4, 0.4]).winner == 1
    assert majority([None, 1, 1], scores=[9.0, 0.4, 0.4]).winner == 1
    assert majority([0, 1, 1], scores=[0.0, 0.0, 0.0]).is_tied


def test_equal_sums_tie_in_whatever_order_they_are_added() -> None:
    assert majority([0, 0, 0, 3, 3, 3], scores=[0.1, 0.2, 0.3, 0.3, 0.2, 0.1]).is_tied


def test_a_vote_is_neither_negative_nor_nan() -> None:
    with pytest.raises(ValueError, match="negative weight"):
        majority([0, 1], scores=[0.1, -0.1])
    with pytest.raises(ValueError, match="not a number"):
        majority([0, 1], scores=[0.1, float("nan")])


def test_best_of_n_is_the_first_of_the_highest() -> None:
    assert best_of_n([-1.0, 3.0, 3.0]) == 1
    with pytest.raises(ValueError, match="no samples"):
        best_of_n([])


# -- cons@m from k samples


def test_expected_consensus_by_hand() -> None:
    """Right, wrong, wrong. Pairs: (r, w) is a tie that r wins, twice; (w, w) is lost."""
    assert expected_consensus([0, 1, 1], [True, False, False], m=2) == pytest.approx(2 / 3)
    assert expected_consensus([0, 0, 2], [False, False, True], m=2) == 0.0


@st.composite
def questions(draw: st.DrawFn) -> tuple[list[int | None], list[bool]]:
    answers = draw(st.lists(st.sampled_from([None, "a", "b", "c", "d"]), min_size=1, max_size=9))
    right = draw(st.sets(st.sampled_from(["a", "b", "c", "d"])))
    return answer_classes(answers, equivalent=never), [answer in right for answer in answers]


@given(questions(), st.data())
def test_expected_consensus_is_the_mean_over_all_subsets(
    question: tuple[list[int | None], list[bool]], data: st.DataObject
) -> None:
    classes, correct = question
    m = data.draw(st.integers(1, len(classes)))
    subsets = list(itertools.combinations(classes, m))
    won = sum(is_right(majority(subset), correct) for subset in subsets)
    assert expected_consensus(classes, correct, m=m) == pytest.approx(won / len(subsets))


@given(questions())
def test_it_joins_pass_at_1_and_cons_at_k(question: tuple[list[int | None], list[bool]]) -> None:
    classes, correct = question
    assert expected_consensus(classes, correct, m=1) == pytest.approx(sum(correct) / len(correct))
    assert expected_consensus(classes, correct, m=len(classes)) == is_right(majority(classes), correct)


def test_cons_at_16_is_read_off_64_samples() -> None:
    """Against votes of subsets drawn one by one."""
    rng = np.random.default_rng(0)
    answers = [str(value) for value in rng.choice(5, 64, p=[0.3, 0.3, 0.2, 0.1, 0.1])]
    classes, correct = answer_classes(answers, equivalent=never), [answer == "0" for answer in answers]
    subsets = [[classes[i] for i in sorted(rng.choice(64, 16, replace=False))] for _ in range(4000)]
    drawn = np.mean([is_right(majority(subset), correct) for subset in subsets])
    assert expected_consensus(classes, correct, m=16) == pytest.approx(drawn, abs=0.03)


def test_a_majority_grows_surer_with_more_votes() -> None:
    """Right six times of ten, all wrong answers alike: cons@m rises in m."""
    classes: list[int | None] = [0, 1, 0, 1, 0, 0, 1, 0, 1, 0]
    correct = [name == 0 for name in classes]
    values = [expected_consensus(classes, correct, m=m) for m in (1, 3, 5, 7, 9)]
    assert values == sorted(values) and values[0] == pytest.approx(0.6)


def test_expected_consensus_needs_m_samples() -> None:
    with pytest.raises(ValueError, match="cons@4 needs at least 4 samples"):
        expected_consensus([0, 1], [True, False], m=4)
