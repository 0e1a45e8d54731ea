"""A reward that says nothing, or something else than the evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from r1ray.algo.variants.overlong import OVERLONG
from r1ray.telemetry.diagnosis.evidence import WINDOW, Evidence
from r1ray.telemetry.diagnosis.finding import Finding
from r1ray.telemetry.diagnosis.groups import MOST, UNIFORM
from r1ray.telemetry.metrics import reward_parts

STEPS = 10
"""Steps after which a part that never moved is said to be constant."""
EQUAL = 1e-9
RISE = 0.1
"""Of the training reward, as a share of what it was, and of the share of right responses."""
SATURATED = 0.95
"""pass@1 that cannot rise much further."""


def constant_part(run: Evidence) -> Finding | None:
    """Find parts of the reward that have been the same number in every step. Parts without weight are only logged, and
    the penalty of long responses may never be due."""
    found = [name for name in reward_parts(run.names("reward/")) if _is_constant(run, name.removeprefix("reward/"))]
    uniform = run.recent(UNIFORM)
    if not found or (uniform is not None and uniform >= MOST):  # the rule of uniform groups says it
        return None
    said = ", ".join(f"{name} {run.series(name)[-1]:g}" for name in found)
    parts = [f"reward.parts.{name.removeprefix('reward/')}" for name in found]
    return Finding(
        rule="constant_part",
        sentence=f"In each step so far the mean of a part of the reward is the same ({said}): it tells no response "
        "from another.",
        advice=f"Score a right and a wrong response by hand (r1ray score), and mend or leave out {', '.join(parts)}.",
        keys=tuple(parts),
        metric=found[0],
        step=run.step,
        example=run.examples.first(lambda row: True),
    )


def _is_constant(run: Evidence, part: str) -> bool:
    values, weight = run.series(f"reward/{part}"), run.setting(f"reward.parts.{part}.weight")
    if not isinstance(weight, int | float) or weight == 0 or part == OVERLONG:
        return False  # of a part whose weight is not known nothing is said
    if len(values) < STEPS or max(values) - min(values) > EQUAL:
        return False
    return weight > 0 or values[-1] != 0  # a penalty may never be due


def evaluation_apart(run: Evidence) -> Finding | None:
    """Find a run whose reward rises in training while held-out prompts are answered no better, or worse."""
    for metric in run.evaluated("/pass@1"):
        lines = run.evaluations(metric)
        if len(lines) < 2:
            continue
        if found := _apart(run, metric, lines[0], lines[-1]):
            return found
    return None


def _apart(run: Evidence, metric: str, first: Mapping[str, Any], last: Mapping[str, Any]) -> Finding | None:
    """Compare two evaluations with what rose in training between them. Intervals decide: a few questions jump."""
    if (rose := next(_risen(run), None)) is None:
        return None
    name, low, high = rose
    before, after, most = first[metric], last[metric], last.get(f"{metric}_high", last[metric])
    fell = most < first.get(f"{metric}_low", before)
    stands = name != "reward/mean" and before < SATURATED and most - before < (high - low) / 2
    if not (fell or stands):
        return None
    return Finding(
        rule="evaluation_apart",
        sentence=f"{metric} went from {before:.3f} to {after:.3f} while {name} rose from {low:.3f} to {high:.3f}: the "
        "policy learns the training prompts, or what the reward pays and the evaluation does not ask for.",
        advice="Read what is paid (rollouts/) and what is asked (rollouts/eval_step=*.parquet); take more or other "
        "prompts (data.train), mend the reward (reward.parts, r1ray audit), or keep the best version "
        "(checkpoint.best).",
        keys=("data.train", "reward.parts", "checkpoint.best"),
        metric=metric,
        step=run.step,
    )


def _risen(run: Evidence) -> Iterator[tuple[str, float, float]]:
    """Yield what rose since training began, the share of right responses before the reward: (name, from, to)."""
    for name in ("scoring/correct", "reward/accuracy", "reward/mean"):
        if not run.series(name):
            continue
        low, high = run.early(name, default=0.0), run.recent(name, default=0.0)
        if low is None or high is None or run.num_steps < 2 * WINDOW:
            continue
        if high - low >= max(RISE, RISE * abs(low)):
            yield name, low, high
