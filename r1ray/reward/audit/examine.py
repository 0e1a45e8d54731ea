"""Scoring of every prompt's battery, which collects the payments for nothing.

prompts --battery--> Attempts --RewardScorer--> parts and total --paid_for_nothing--> Payment of each kind and part
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from r1ray.data.checks import CHECK_TYPES
from r1ray.reward.audit.attempt import Attempt
from r1ray.reward.audit.battery import battery, right_responses
from r1ray.reward.audit.verdict import paid_for_nothing
from r1ray.reward.scorer import Part, RewardScorer
from r1ray.types import Outcome, Prompt, Response, Scored

MAX_UNDER_WAY = 32
CHARACTERS_PER_TOKEN = 4


@dataclass(slots=True)
class Payment:
    """Responses of one kind that one part pays for nothing."""

    kind: str
    part: str
    num_responses: int
    highest: float
    """The highest of their weighted payments."""
    prompt: Prompt
    """Prompt of the shortest of these responses."""
    response: str


@dataclass(slots=True)
class Audit:
    """The findings about one reward."""

    num_prompts: int = 0
    num_responses: int = 0
    payments: dict[tuple[str, str], Payment] = field(default_factory=dict)
    """Payments by kind and part."""
    form_share: float = 0.0
    """The largest total, as a share of a right response's, among responses that were not paid for nothing."""
    failures: Counter[str] = field(default_factory=Counter)
    """Number of responses that were not scored or on which a part failed, by reason."""

    def add(self, attempt: Attempt, prompt: Prompt, paid: dict[str, float]) -> None:
        """Record the payments for nothing that one response got."""
        for part, pay in paid.items():
            key = (attempt.kind, part)
            found = self.payments.setdefault(key, Payment(*key, 0, pay, prompt, attempt.text))
            found.num_responses += 1
            found.highest = max(found.highest, pay)
            if len(attempt.text) < len(found.response):
                found.prompt, found.response = prompt, attempt.text


async def examine(
    scorer: RewardScorer, parts: Sequence[Part], prompts: Iterable[Prompt], *, seed: int, max_tokens: int
) -> Audit:
    """Test a reward with the battery.

    Args:
        parts: parts of the reward.
        max_tokens: length limit that is passed to rewards about length.
    """
    audit, slots = Audit(), asyncio.Semaphore(MAX_UNDER_WAY)

    async def outcome(prompt: Prompt, text: str, is_finished: bool = True) -> Outcome:
        num_tokens = min(max_tokens, len(text) // CHARACTERS_PER_TOKEN + 1)
        async with slots:
            response = Response(text, is_finished, num_tokens=num_tokens, max_tokens=max_tokens)
            return (await scorer.outcome(prompt, response))[0]

    for prompt in prompts:
        check = CHECK_TYPES[type(prompt.check)]
        counted = [part for part in parts if part.config.weight > 0 and part.applies_to(prompt.domain, check)]
        if not counted:
            continue
        right = _total_of(counted, await asyncio.gather(*(outcome(prompt, text) for text in right_responses(prompt))))
        attempts = battery(prompt, seed=seed)
        outcomes = await asyncio.gather(*(outcome(prompt, each.text, each.is_finished) for each in attempts))
        audit.num_prompts += 1
        for attempt, found in zip(attempts, outcomes, strict=True):
            audit.num_responses += 1
            _judge(audit, attempt, prompt, found, counted, right)
    return audit


def _total_of(parts: Sequence[Part], outcomes: Sequence[Outcome]) -> float:
    """Return the total of a right response: the highest over its forms, or 1 for each part if none is known or paid."""
    highest = max((each.total for each in outcomes if isinstance(each, Scored)), default=0.0)
    return highest if highest > 0 else sum(part.config.weight for part in parts)


def _judge(
    audit: Audit, attempt: Attempt, prompt: Prompt, outcome: Outcome, parts: Sequence[Part], right: float
) -> None:
    if not isinstance(outcome, Scored):
        audit.failures[outcome.reason] += 1
        return
    for failure in outcome.failures:
        audit.failures[f"reward.parts.{failure.part}: {failure.kind}"] += 1
    paid = paid_for_nothing(attempt, outcome.parts, parts, total=outcome.total, right=right)
    if paid:
        audit.add(attempt, prompt, paid)
    else:
        audit.form_share = max(audit.form_share, outcome.total / right)
