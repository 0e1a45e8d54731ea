"""Search for checks that cannot judge anything, when the data are loaded and before anything is sampled."""

from __future__ import annotations

from collections.abc import Callable

from r1ray.checks import Check, Instructions, Judged, MathAnswer, OwnCheck, Pairwise, ReasoningTask
from r1ray.config import RewardConfig
from r1ray.data.checks import check_problem
from r1ray.reward import judged, pairwise
from r1ray.reward.instructions import rules_problem
from r1ray.reward.language import language_problem
from r1ray.reward.last_number import number_problem
from r1ray.reward.math.verifier import reference_problem as math_problem
from r1ray.reward.own_check import own_check_problem
from r1ray.reward.task import missing

Problem = Callable[[Check, str], str | None]
"""Function that returns the reason why no response to a prompt with a check and a language could be judged; None if it
can."""


def reference_problem(check: Check) -> str | None:
    """Return the reason why no response could be judged by this check; None if it can. Raises UserError for a check of
    the user's own that cannot be called."""
    problem = check_problem(check)
    if problem is not None:
        return problem
    if isinstance(check, MathAnswer):
        return math_problem(check.answer)
    if isinstance(check, ReasoningTask):
        return missing()
    if isinstance(check, Instructions):
        return rules_problem(check)
    if isinstance(check, OwnCheck):
        return own_check_problem(check)
    if isinstance(check, Judged):
        return judged.rubric_problem(check)
    return pairwise.rubric_problem(check) if isinstance(check, Pairwise) else None


def problem_finder(config: RewardConfig) -> Problem:
    """Return the function that finds problems for the configured parts."""
    ours = {name: part for name, part in config.parts.items() if part.function is None}
    needs_language = "language" in ours
    needs_number = (
        "last_number" in ours and ours["last_number"].domains is None
    )  # references of other domains need not be numbers

    def find(check: Check, language: str) -> str | None:
        if isinstance(check, Judged | Pairwise):
            return "needs a judge, which rewards of a run do not have"
        problem = reference_problem(check) or (language_problem(language) if needs_language else None)
        if problem is None and needs_number and isinstance(check, MathAnswer):
            return number_problem(check.answer)
        return problem

    return find
