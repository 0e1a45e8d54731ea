"""Figures of k samples a question (paper section 3): pass@1, pass@k, cons@k."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def pass_at_1(correct: Sequence[bool]) -> float:
    """Mean over the k samples of one question: sum(p_i) / k."""
    return sum(correct) / len(correct)


def is_consensus_correct(answers: Sequence[str | None], correct: Sequence[bool]) -> bool:
    """One majority vote over all samples of a question.

    A sample without an answer does not vote. Among answers with equally many votes the one that was given first
    wins. Samples with the same answer have the same correctness, so the winner's first sample decides.
    """
    votes = Counter(answer for answer in answers if answer is not None)
    if not votes:
        return False
    winner = votes.most_common(1)[0][0]
    return correct[answers.index(winner)]
