"""The phases of ``doctor --smoke`` in words and in numbers. Pure functions of what was observed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from r1ray.doctor.findings import counted
from r1ray.doctor.judging import sized
from r1ray.types import Float32Array, PublishStats, Scored, ScoredTrajectory, StepStats

Metrics = dict[str, float]
MOMENT_S = 1e-6
"""Taken for no time at all, where something is divided by it."""


@dataclass(frozen=True, slots=True)
class Did:
    """Result of a phase, in words and in numbers."""

    found: str
    metrics: Metrics


def started(*, ranks: int, engines: int, reward_actors: int) -> Did:
    """Count the actors."""
    actors = [(ranks, "learner rank"), (engines, "engine"), (reward_actors, "reward actor")]
    found = ", ".join(counted(number, noun) for number, noun in actors)
    return Did(found, {"ranks": ranks, "engines": engines, "reward_actors": reward_actors})


def generated(trajectories: Sequence[ScoredTrajectory], seconds: float) -> Did:
    """Count the tokens of completions."""
    return _tokens(sum(trajectory.num_policy_tokens for trajectory in trajectories), seconds)


def rewarded(trajectories: Sequence[ScoredTrajectory], seconds: float) -> Did:
    """Count completions, and those that have a reward."""
    totals = [trajectory.outcome.total for trajectory in trajectories if isinstance(trajectory.outcome, Scored)]
    mean, rate = sum(totals) / max(1, len(totals)), len(trajectories) / max(seconds, MOMENT_S)
    found = f"{len(totals)} of {counted(len(trajectories), 'completion')} scored, {rate:.0f}/s, mean reward {mean:.2f}"
    metrics = {"completions": len(trajectories), "scored": len(totals), "completions_per_s": rate, "reward_mean": mean}
    return Did(found, metrics)


def learned(steps: Sequence[StepStats], moved: Sequence[float], seconds: float) -> Did:
    """Count the tokens of updates, and say what these changed.

    Args:
        moved: largest change of a log-probability by each step, nats; empty where none was measured.
    """
    did = _tokens(sum(step.trained_tokens for step in steps), seconds)
    if not moved:
        return did
    found = f"{did.found}; each step moves log-probabilities by {min(moved):.2g} nats or more"
    return Did(found, did.metrics | {"moved_nats": min(moved)})


def published(publishes: Sequence[PublishStats]) -> Did:
    """Say what was sent, and how long it took without the probes."""
    times = [each.seconds - each.probe_s for each in publishes]
    resent, num_bytes = sum(each.num_resent for each in publishes), publishes[-1].num_bytes
    engines = max(each.num_engines for each in publishes)  # those that only evaluate get the first one alone
    found = f"{len(times)} x {sized(num_bytes)} to {counted(engines, 'engine')}: {_first_and_last(times)}"
    metrics: Metrics = {"publishes": len(times), "bytes": num_bytes, "engines": engines, "resent": resent}
    return Did(found + (f"; sent again {resent} times" if resent else ""), metrics | _ends(times))


def probed(publishes: Sequence[PublishStats], bound: float) -> Did:
    """Say how far the engines were off at the worst of the publishes."""
    largest = max(each.probe_max_diff or 0.0 for each in publishes)
    mean = max(each.probe_mean_diff or 0.0 for each in publishes)
    times = [each.probe_s for each in publishes]
    found = f"engines differ from the learner by {_off(largest, mean, bound)}; {_first_and_last(times)}"
    return Did(found, {"max_nats": largest, "mean_nats": mean, "bound_nats": bound} | _ends(times))


def reloaded(found: Float32Array, expected: Float32Array, bound: float) -> Did:
    """Say how far an export is off.

    Args:
        found: [T-1] float32, log-probabilities of the export by transformers.
        expected: [T-1] float32, of the learner.
    """
    off = np.abs(found - expected)
    largest, mean = float(off.max()), float(off.mean())
    metrics = {"max_nats": largest, "mean_nats": mean, "bound_nats": bound}
    return Did(f"transformers differs from the learner by {_off(largest, mean, bound)}", metrics)


def _tokens(tokens: int, seconds: float) -> Did:
    rate = tokens / max(seconds, MOMENT_S)
    return Did(f"{tokens} tokens, {rate:.0f} tokens/s", {"tokens": tokens, "tokens_per_s": rate})


def _off(largest: float, mean: float, bound: float) -> str:
    return f"{largest:.2g} nats at most, {mean:.2g} in the mean (bound {bound:g})"


def _first_and_last(times: Sequence[float]) -> str:
    return f"first {times[0]:.2f} s, last {times[-1]:.2f} s" if len(times) > 1 else f"{times[0]:.2f} s"


def _ends(times: Sequence[float]) -> Metrics:
    return {"first_s": times[0], "last_s": times[-1]}
