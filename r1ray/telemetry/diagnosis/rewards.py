"""A reward that says nothing, or something else than the evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
"""Rise of the training reward, as a share of what it was, and of the share of right responses."""
SATURATED = 0.95
"""pass@1 that cannot rise much further."""
MEAN = "reward/mean"


@dataclass(frozen=True, slots=True)
class Rise:
    """A metric of training that got better."""

    metric: str
    before: float
    after: float


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


def unpaid_part(run: Evidence) -> Finding | None:
    """Find parts of the reward that environments are to give and never gave: perhaps they are called otherwise."""
    parts = run.setting("reward.parts")
    if run.num_steps < WINDOW or not isinstance(parts, Mapping):
        return None
    given = {name.removeprefix("reward/") for name in reward_parts(run.names("reward/"))}
    asked = [name for name, part in parts.items() if isinstance(part, Mapping) and part.get("from_environment")]
    found = [name for name in asked if parts[name].get("weight") and name not in given]
    if not found:
        return None
    others = ", ".join(sorted(given - parts.keys() - {OVERLONG})) or "none"
    keys = tuple(f"reward.parts.{name}" for name in found)
    return Finding(
        rule="unpaid_part",
        sentence=f"No environment gave {', '.join(found)} in {run.num_steps} steps: nothing is paid for it. Parts "
        f"that are given and have no weight: {others}.",
        advice=f"Call {', '.join(keys)} as the environment does, or leave it out.",
        keys=keys,
        metric=MEAN,
        step=run.step,
    )


def evaluation_apart(run: Evidence) -> Finding | None:
    """Find a run that gets better in training while held-out prompts are answered no better, or worse."""
    for metric in run.evaluated("/pass@1"):
        lines = run.evaluations(metric)
        if len(lines) < 2:
            continue
        first, best, last = lines[0], max(lines[:-1], key=lambda line: line[metric]), lines[-1]
        if (rose := _risen(run, since=best["step"])) is not None and _fell(metric, best, last):
            return _apart(run, metric, rose, best, last)
        if (rose := _risen(run, since=first["step"])) is not None and _stands(rose, metric, first, last):
            return _apart(run, metric, rose, first, last)
    return None


def _stands(rose: Rise, metric: str, first: Mapping[str, Any], last: Mapping[str, Any]) -> bool:
    """Return whether even the upper end of the interval gained less than half of what training did."""
    gained = last.get(f"{metric}_high", last[metric]) - first[metric]
    return rose.metric != MEAN and first[metric] < SATURATED and gained < (rose.after - rose.before) / 2


def _fell(metric: str, best: Mapping[str, Any], last: Mapping[str, Any]) -> bool:
    """Return whether the intervals are apart: a few questions jump."""
    return bool(last.get(f"{metric}_high", last[metric]) < best.get(f"{metric}_low", best[metric]))


def _apart(run: Evidence, metric: str, rose: Rise, before: Mapping[str, Any], after: Mapping[str, Any]) -> Finding:
    return Finding(
        rule="evaluation_apart",
        sentence=f"{metric} went from {before[metric]:.3f} at step {before['step']} to {after[metric]:.3f} while "
        f"{rose.metric} rose from {rose.before:.3f} to {rose.after:.3f}: the policy learns the training prompts, or "
        "what the reward pays and the evaluation does not ask for.",
        advice="Read what is paid (rollouts/) and what is asked (rollouts/eval_step=*.parquet); take more or other "
        "prompts (data.train), mend the reward (reward.parts, r1ray audit), or keep the best version "
        "(checkpoint.best).",
        keys=("data.train", "reward.parts", "checkpoint.best"),
        metric=metric,
        step=run.step,
    )


def _risen(run: Evidence, *, since: float) -> Rise | None:
    """Return what rose since a step: the share of right responses, or else the reward."""
    for name in ("scoring/correct", "reward/accuracy", MEAN):
        if not run.series(name) or run.num_steps < 2 * WINDOW:
            continue
        low, high = run.until(name, since, default=0.0), run.recent(name, default=0.0)
        if low is not None and high is not None and high - low >= max(RISE, RISE * abs(low)):
            return Rise(name, low, high)
    return None
