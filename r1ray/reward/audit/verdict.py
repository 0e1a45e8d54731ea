"""The rule that decides which payments are for nothing.

Every response of the battery is wrong. These of its payments are for nothing:

    accuracy, last_number       all
    format, cold_start_format   all that a response without the form gets
    language                    more than 0.1 if the reasoning is no text in the prompt's language
    a function of the user's    at least half of a right response's total
    all parts together          more than half of a right response's total

A correct form is rewarded on purpose. It alone may be worth half of the total, as in reward=r1_zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from r1ray.reward.audit.attempt import FORM, LANGUAGE, Attempt
from r1ray.reward.scorer import ACCURACY, LAST_NUMBER, Part

MAX_SHARE = 0.5
"""Share of a right response's total that a wrong one may get for its form."""
TOLERATED = dict.fromkeys(FORM, 0.0) | dict.fromkeys(LANGUAGE, 0.1)
"""Largest tolerated value of a part for form or language in a response without that form or language."""
TOTAL = "total"
ROUNDING = 1e-9


def paid_for_nothing(
    attempt: Attempt, values: Mapping[str, float], parts: Sequence[Part], *, total: float, right: float
) -> dict[str, float]:
    """Return a wrong response's payments for nothing, by part and weighted; ``total`` if only the sum is too high.

    Args:
        values: unweighted value of each part.
        total: total of the response.
        right: total of a right response to the same prompt.
    """
    found = {}
    for part in parts:
        pay = part.config.weight * values.get(part.name, 0.0)
        if pay > ROUNDING and _is_for_nothing(attempt, part, values[part.name], pay=pay, right=right):
            found[part.name] = pay
    if not found and right > 0 and total > MAX_SHARE * right + ROUNDING:
        found[TOTAL] = total
    return found


def _is_for_nothing(attempt: Attempt, part: Part, value: float, *, pay: float, right: float) -> bool:
    if part.is_users:
        return pay >= MAX_SHARE * right - ROUNDING
    if part.name in (ACCURACY, LAST_NUMBER):
        return True
    return part.name in attempt.lacks and value > TOLERATED[part.name] + ROUNDING
