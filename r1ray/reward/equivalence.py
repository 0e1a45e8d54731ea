"""Equivalence of two answers to the same prompt, by which a majority vote counts (paper section 3, cons@64)."""

from __future__ import annotations

from r1ray.algo.consensus import Equivalent
from r1ray.checks import Check, Choice, FormatOnly, MathAnswer, Reading
from r1ray.errors import UnscorableError
from r1ray.reward.math.verifier import MathVerifier
from r1ray.reward.reading import normalise

CAN_VOTE = frozenset({"math", "reading", "choice", "format"})
"""Types of check that :func:`equivalence_of` supports."""
MAX_TIMEOUTS = 4
"""Comparisons of one vote that may exceed the verifier's deadline. After them, answers are compared as text."""


def equivalence_of(check: Check, verifier: MathVerifier) -> Equivalent | None:
    """Return the function that tells whether two different answers are equal; None if answers of this kind of check
    cannot be compared with each other."""
    if isinstance(check, MathAnswer):
        return _MathEquivalence(verifier)
    if isinstance(check, Reading):
        return lambda one, other: normalise(one) == normalise(other)
    return (lambda one, other: False) if isinstance(check, Choice | FormatOnly) else None


class _MathEquivalence:
    """Equivalence by the math verifier, with the first answer in place of the reference."""

    def __init__(self, verifier: MathVerifier) -> None:
        self._verifier = verifier
        self._num_timeouts = 0

    def __call__(self, one: str, other: str) -> bool:
        if self._num_timeouts >= MAX_TIMEOUTS:
            return False
        try:
            score = self._verifier.score_sync(one, f"\\boxed{{{other}}}")
        except UnscorableError:  # the verifier cannot read it: as a reference it equals only itself
            return False
        self._num_timeouts += score.label == "timeout"
        return score.value >= 1.0
