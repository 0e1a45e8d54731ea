"""Votes counted by hand."""

from __future__ import annotations

from r1ray.algo.consensus import is_consensus_correct, pass_at_1


def test_pass_at_1_is_the_mean_over_samples() -> None:
    assert pass_at_1([True, False, False, True]) == 0.5


def test_the_majority_wins_even_when_it_is_wrong() -> None:
    assert not is_consensus_correct(["3", "3", "4"], [False, False, True])
    assert is_consensus_correct(["4", "3", "4"], [True, False, True])


def test_a_missing_answer_does_not_vote() -> None:
    assert is_consensus_correct([None, None, None, "4"], [False, False, False, True])
    assert not is_consensus_correct([None, None], [False, False])


def test_a_tie_goes_to_the_answer_given_first() -> None:
    assert is_consensus_correct(["4", "3", "3", "4"], [True, False, False, True])
    assert not is_consensus_correct(["3", "4", "4", "3"], [False, True, True, False])
