"""cons@k: a majority vote over classes of equivalent answers (paper section 3; Wang et al. 2022); score-weighted votes.

    answers --answer_classes--> a class for each sample --majority--> Vote --is_right--> cons@k
                                                       --expected_consensus--> cons@m, m < k

Equivalence is an argument: the math verifier decides whether two answers mean the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

Equivalent: TypeAlias = Callable[[str, str], bool]
"""Function of (the representative of a class, another answer); never called for two equal strings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """The result of one vote."""

    winner: int | None
    """Index of the first sample of the winning class; None if nobody voted."""
    weight: float
    """Votes of the winning class: its number of samples, or the sum of their scores."""
    num_voters: int
    num_classes: int
    is_tied: bool
    """True if another class got equally many votes, so that the order of the samples decided."""


def answer_classes(answers: Sequence[str | None], *, equivalent: Equivalent) -> list[int | None]:
    """Return the class of each sample's answer; None for a sample without an answer. The name of a class is the index
    of its first sample, whose answer represents it.

    Samples are taken in order. An answer with the same text as an earlier one joins its class; any other joins the
    first class whose representative it is equivalent to, or starts a new one. This takes at most (different strings) x
    (classes) comparisons. If equivalence is not transitive, only the representative decides: b and c are both in a's
    class if each is equivalent to a, even if they are not equivalent to each other.

    >>> answer_classes(["1/2", "3", None, "0.5", "1/2"], equivalent=lambda a, b: {a, b} == {"1/2", "0.5"})
    [0, 1, None, 0, 0]
    """
    class_of: dict[str, int] = {}
    representatives: list[tuple[int, str]] = []
    classes: list[int | None] = []
    for index, answer in enumerate(answers):
        if answer is not None and answer not in class_of:
            joined = next((first for first, text in representatives if equivalent(text, answer)), None)
            if joined is None:
                representatives.append((index, answer))
            class_of[answer] = index if joined is None else joined
        classes.append(None if answer is None else class_of[answer])
    return classes


def majority(classes: Sequence[int | None], *, scores: Sequence[float] | None = None) -> Vote:
    """Hold one vote over all samples: each has one vote, or its score (a reward model's; not negative). A sample
    without an answer does not vote. In a tie, the class whose answer was given first wins.

    >>> majority([0, 1, None, 1, 0])
    Vote(winner=0, weight=2.0, num_voters=4, num_classes=2, is_tied=True)
    """
    weights = [1.0] * len(classes) if scores is None else _checked(scores)
    if min(weights, default=0.0) < 0:
        raise ValueError(f"a vote cannot have a negative weight: {min(weights)}.")
    ballots: dict[int, list[float]] = {}
    for name, weight in zip(classes, weights, strict=True):
        if name is not None:
            ballots.setdefault(name, []).append(weight)
    totals = {name: math.fsum(given) for name, given in ballots.items()}  # fsum: equal sums are equal in any order
    most = max(totals.values(), default=0.0)
    return Vote(
        winner=next((name for name, total in totals.items() if total == most), None),
        weight=most,
        num_voters=sum(map(len, ballots.values())),
        num_classes=len(totals),
        is_tied=sum(total == most for total in totals.values()) > 1,
    )


def is_right(vote: Vote, correct: Sequence[bool]) -> bool:
    """Return whether the winner is right; a vote without voters is wrong. If samples of one class differ in correctness
    (equivalence was not transitive), the class's first sample decides."""
    return vote.winner is not None and correct[vote.winner]


def tie_rate(votes: Sequence[Vote]) -> float:
    """Return the share of questions whose vote was decided only by the order of the samples."""
    return sum(vote.is_tied for vote in votes) / len(votes)


def best_of_n(scores: Sequence[float]) -> int:
    """Return the index of the sample with the highest score, the first of several. Samples without an answer take part,
    because the score rates the whole output."""
    weights = _checked(scores)
    if not weights:
        raise ValueError("the best of no samples.")
    return weights.index(max(weights))


def expected_consensus(classes: Sequence[int | None], correct: Sequence[bool], *, m: int) -> float:
    """Return cons@m computed from k >= m samples of one question: the share of the C(k, m) subsets of m samples whose
    vote is right. The result is exact; a subset keeps the order of its samples. m = 1 is pass@1, m = k is cons@k.

    A class whose first chosen sample is e wins a subset with v votes if the subset holds v - 1 of its samples after e
    and, of every other class, fewer than v samples or v samples that all come after e. The number of such subsets is
    a coefficient of a product with one polynomial for each class; see :func:`_num_subsets_won`.

    >>> expected_consensus([0, 0, 2], [True, True, False], m=2)  # {0, 1} and twice a tie, which 0 and 1 win
    1.0
    """
    if not 1 <= m <= len(classes):
        raise ValueError(f"cons@{m} needs at least {max(m, 1)} samples and m >= 1; there are {len(classes)}.")
    members: dict[int, list[int]] = {}
    for index, name in enumerate(classes):
        if name is not None:
            members.setdefault(name, []).append(index)
    won = 0
    for name, mine in members.items():
        if correct[mine[0]]:
            others = [theirs for other, theirs in members.items() if other != name]
            num_silent = len(classes) - sum(map(len, members.values()))
            won += _num_subsets_won(mine, others, num_silent=num_silent, m=m)
    return float(Fraction(won, math.comb(len(classes), m)))


def _num_subsets_won(mine: list[int], others: list[list[int]], *, num_silent: int, m: int) -> int:
    """Count the subsets of m samples that the class with the samples ``mine`` wins.

    A polynomial whose coefficient of x^n counts the ways to choose n samples is kept as its value at x = 2^width: no
    coefficient of a product reaches 2^width, so each is read back from its own bits, exactly.
    """
    width = num_silent + len(mine) + sum(map(len, others)) + 1
    one = 1 << width
    won = 0
    for votes in range(1, min(len(mine), m) + 1):
        larger = [theirs for theirs in others if len(theirs) >= votes]
        num_free = num_silent + sum(len(theirs) for theirs in others if len(theirs) < votes)
        of_free = (1 + one) ** num_free  # classes that cannot reach that many votes may choose anything
        fewer = [_choices(len(theirs), votes, width) for theirs in larger]
        for position, first in enumerate(mine[: len(mine) - votes + 1]):
            ways = of_free
            for polynomial, theirs in zip(fewer, larger, strict=True):
                num_after = sum(index > first for index in theirs)
                ways *= polynomial + (math.comb(num_after, votes) << (width * votes))
            of_rest = (ways >> (width * (m - votes))) & (one - 1)
            won += math.comb(len(mine) - position - 1, votes - 1) * of_rest
    return won


def _choices(size: int, votes: int, width: int) -> int:
    """Return the sum over n < votes of C(size, n) x^n."""
    return sum(math.comb(size, n) << (width * n) for n in range(votes))


def _checked(scores: Sequence[float]) -> list[float]:
    if not all(math.isfinite(score) for score in scores):
        raise ValueError("a score is infinite or not a number.")
    return list(scores)
