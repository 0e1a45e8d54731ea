"""A simulation as text, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from r1ray.planning.plan import Plan
from r1ray.planning.report import ahead
from r1ray.planning.words import seconds_of
from r1ray.simulation.result import Simulated
from r1ray.simulation.splits import Split


def report(plan: Plan, found: Simulated, splits: Sequence[Split]) -> str:
    """Return what a simulation says, written out."""
    return "\n".join(_lines(plan, found, splits))


def _lines(plan: Plan, found: Simulated, splits: Sequence[Split]) -> Iterator[str]:
    machines = plan.config.plan
    yield (
        f"simulated: a step of {seconds_of(found.step_s)} (mean of {found.num_steps}, longest "
        f"{seconds_of(found.longest_step_s)}); not below {seconds_of(found.bound_s)} in any order; rooflines: "
        f"{seconds_of(plan.step.total)}"
    )
    yield (
        f"  the learner works {seconds_of(found.learn_s)} of it, waits {seconds_of(found.idle_learner_s)} for groups, "
        f"and publishes in {seconds_of(found.publish_s)}; the engines are busy {found.busy_rollout:.0%} of the time"
    )
    yield (
        f"  {found.tokens_per_s:,.0f} policy tokens/s; staleness {found.staleness_mean:.2f} on average, "
        f"{found.staleness_max} at most" + (f"; {found.dropped:,} groups left behind" if found.dropped else "")
    )
    yield (
        f"  lengths: log-normal, mean {plan.batch.completion_tokens:,.0f}, spread {machines.length_spread:g} "
        f"(plan.length_spread), cut at {plan.batch.longest_completion:,}; seed {plan.config.seed}"
    )
    if machines.faults_a_day:
        yield (
            f"  faults (plan.faults_a_day={machines.faults_a_day:g} of a GPU): {found.engine_faults} of engines, "
            f"{found.learner_faults} of the learner, {found.repeated_steps} steps made again"
        )
    if splits:
        yield from _split_lines(plan, splits)


def _split_lines(plan: Plan, splits: Sequence[Split]) -> Iterator[str]:
    yield "splits of the same GPUs, simulated, and what rooflines say of them:"
    best = min(splits, key=lambda split: split.step_s)
    for split in splits:
        way = split.way
        later = f", {ahead(plan.config.algo, way.max_staleness)}" if way.max_staleness else ""
        mark = ("  (this plan)" if split is splits[0] else "") + ("  shortest" if split is best else "")
        yield (
            f"  {seconds_of(split.step_s):>9} ({seconds_of(way.step_s)})  {way.placement}, "
            f"learner.num_ranks={way.num_ranks} rollout.num_actors={way.num_engines}{later}; learner waits "
            f"{split.idle_learner:.0%}, engines busy {split.busy_rollout:.0%}{mark}"
        )


def as_json(found: Simulated, splits: Sequence[Split]) -> dict[str, Any]:
    """Return all that :func:`report` shows; times in seconds."""
    return asdict(found) | {"bottleneck": found.bottleneck, "splits": [asdict(split) for split in splits]}
