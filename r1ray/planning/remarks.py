"""Remarks on a plan that works: time, checkpoints, deadlines."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from r1ray.planning.gpus import GB
from r1ray.planning.plan import DAY_S, Plan
from r1ray.planning.words import seconds_of

NEAR = 0.7
"""Share of a deadline that an estimate should not pass: it may be off by as much."""
LONG_S = 3 * 3600.0
"""Time between two checkpoints that is long: what a lost node or a scheduler's limit may cost."""
SLOW = 0.1
"""Share of a run's time that goes to checkpoints which it waits for, above which that is said."""


def remarks_of(plan: Plan) -> list[str]:
    """Return sentences about a stage that is longer than ``plan.max_days``, about checkpoints that are far apart or
    cost time, and about deadlines that an expected step comes near."""
    return [*_days(plan), *_checkpoints(plan), *_deadlines(plan)]


def remarks_of_stages(plans: Sequence[Plan]) -> list[str]:
    """Return the remarks of each stage of a recipe, and one about all of them together."""
    found = [f"{plan.name}: {remark}" for plan in plans for remark in remarks_of(plan)]
    hours = sum(plan.hours or 0.0 for plan in plans)
    longest = min(plan.config.plan.max_days for plan in plans)
    if hours > 24 * longest and all((plan.hours or 0.0) <= 24 * longest for plan in plans):
        found.append(f"the stages together take {hours / 24:,.0f} days, more than plan.max_days={longest:g}")
    return found


def _days(plan: Plan) -> Iterator[str]:
    longest = plan.config.plan.max_days
    if plan.hours is None or plan.steps is None or plan.hours <= 24 * longest:
        return
    fitting = math.floor(longest * DAY_S / plan.step.total)
    instead = f"steps={fitting} take that long" if fitting else "one step takes longer than that"
    yield (
        f"{plan.steps:,} steps take {plan.hours / 24:,.0f} days, more than plan.max_days={longest:g}: {instead}; the "
        f"bottleneck is {plan.step.bottleneck}"
    )


def interval_s(plan: Plan) -> float:
    """Return the longest time between two checkpoints: they are written at the end of a step."""
    settings, step = plan.config.checkpoint, plan.step.total
    by_steps = settings.every * step if settings.every else math.inf
    by_clock = math.inf if settings.every_minutes is None else max(step, 60 * settings.every_minutes)
    return min(by_steps, by_clock)


def _checkpoints(plan: Plan) -> Iterator[str]:
    if plan.disk is None:
        return
    settings, interval = plan.config.checkpoint, interval_s(plan)
    whole = math.inf if plan.hours is None else 3600 * plan.hours
    if min(interval, whole) > LONG_S and interval > plan.step.total:
        far = f"one every {seconds_of(interval)}" if math.isfinite(interval) else "none before the end"
        yield (
            f"checkpoints: {far} (checkpoint.every={settings.every}, a step takes {seconds_of(plan.step.total)}); a "
            f"lost node costs as much. checkpoint.every_minutes=60 writes one every hour, at the end of a step"
        )
    written = sum(plan.disk.checkpoint.values()) / (plan.config.plan.storage_gb_s * GB)
    waits = written > interval if settings.asynchronous else written > SLOW * (interval + written)
    if waits and math.isfinite(interval):
        why = "the next one waits for it" if settings.asynchronous else "training waits for it"
        yield (
            f"checkpoints: one takes {seconds_of(written)} to be written (plan.storage_gb_s="
            f"{plan.config.plan.storage_gb_s:g}) and is due every {seconds_of(interval)}: {why}; needs a larger "
            f"checkpoint.every"
        )


def _deadlines(plan: Plan) -> Iterator[str]:
    waits = {"generate": plan.step.generate, "learn": plan.step.learn}
    given = plan.config.deadlines.given
    for name, expected in waits.items():
        if plan.batch.updates and expected > NEAR * given.get(f"{name}_s", math.inf):
            yield (
                f"deadlines.{name}_s={given[f'{name}_s']:g} may end the run, {name} is expected to take "
                f"{expected:.0f} s: set {2 * expected:.0f}"
            )
