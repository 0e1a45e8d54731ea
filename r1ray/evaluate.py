"""Held-out figures of the policy that the rollout engines serve (paper section 3): k samples a question."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable, Sequence
from typing import TypeVar

from r1ray.algo.consensus import is_consensus_correct, pass_at_1
from r1ray.errors import InfrastructureError
from r1ray.group import run_group
from r1ray.interfaces import RolloutEngine, Scorer
from r1ray.types import EvalResult, GroupRequest, Prompt, Sampling, Scored, Verdict

C = TypeVar("C")
ACCURACY = "accuracy"


async def evaluate(
    rollout: RolloutEngine[C],
    scorer: Scorer[C],
    prompts: Sequence[Prompt],
    *,
    benchmark: str,
    samples: int,
    sampling: Sampling,
    seed: int,
    on_start: Callable[[int], None] = lambda attempt: None,
) -> EvalResult:
    """Sample every prompt ``samples`` times and average; ``on_start`` as of :func:`~r1ray.group.run_group`.

    Keys: ``pass@1`` (mean accuracy), ``cons@<samples>`` (accuracy of one majority vote; answers are compared as they
    are written, an unanswered sample does not vote, a tie goes to the answer given first), ``pass@1_stderr`` (over
    questions), ``length_mean`` (tokens), ``truncated_rate``, ``no_answer_rate``, and the mean of every reward part.
    """

    async def one(index: int, prompt: Prompt) -> list[Verdict]:
        request = GroupRequest(
            occurrence=f"eval/{benchmark}/{index}",
            prompt=prompt,
            num_completions=samples,
            sampling=sampling,
            seed=seed + index * samples,
        )
        group = await run_group(rollout, scorer, request, on_start=on_start)
        return sorted(group.all_verdicts, key=lambda verdict: verdict.index)

    groups = await asyncio.gather(*(one(index, prompt) for index, prompt in enumerate(prompts)))
    return EvalResult(benchmark, _figures(groups, samples))


def _figures(groups: Sequence[Sequence[Verdict]], samples: int) -> dict[str, float]:
    pass_rates, consensus = [], []
    parts: dict[str, list[float]] = {}
    for verdicts in groups:
        correct = []
        for verdict in verdicts:
            if not isinstance(verdict.outcome, Scored):
                raise InfrastructureError(f"an evaluation sample could not be scored: {verdict.outcome.reason}")
            correct.append(verdict.outcome.parts.get(ACCURACY, verdict.outcome.total) >= 1.0)
            for name, value in verdict.outcome.parts.items():
                parts.setdefault(name, []).append(value)
        pass_rates.append(pass_at_1(correct))
        consensus.append(is_consensus_correct([verdict.extracted for verdict in verdicts], correct))
    everything = [verdict for verdicts in groups for verdict in verdicts]
    return {
        "pass@1": statistics.fmean(pass_rates),
        "pass@1_stderr": statistics.stdev(pass_rates) / len(pass_rates) ** 0.5 if len(pass_rates) > 1 else 0.0,
        f"cons@{samples}": statistics.fmean(consensus),
        "length_mean": statistics.fmean(verdict.num_tokens for verdict in everything),
        "truncated_rate": statistics.fmean(verdict.truncated for verdict in everything),
        "no_answer_rate": statistics.fmean(verdict.extracted is None for verdict in everything),
        **{name: statistics.fmean(values) for name, values in parts.items()},
    }
