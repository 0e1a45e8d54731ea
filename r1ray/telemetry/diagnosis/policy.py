"""A policy that stops exploring, leaves its reference, or is not what the engines sample from."""

from __future__ import annotations

from statistics import median

from r1ray.telemetry.diagnosis.evidence import WINDOW, Evidence
from r1ray.telemetry.diagnosis.finding import Finding

ENTROPY, UNIFORM, KL = "entropy", "group/uniform_rate", "kl/ref"
FRESH, MISMATCH = "mismatch/fresh_kl", "mismatch/kl"
COLLAPSED = 0.1
"""Times the entropy of the first steps; a policy may begin with little."""
LOW_ENTROPY = 0.05
"""Nats. Above it samples of a prompt differ."""
ALIKE = 0.6
"""Share of uniform groups of a policy that always says the same."""
SOLVED = 0.9
"""Pass rate of a policy that says the same because it is right."""
MOST_KL = 1.0
"""Nats a token, as the table of metrics has it."""
TIMES = 4.0
"""Growth since the steps before the last ones."""
LATEST, BEFORE = WINDOW, 15
"""Steps that are compared: the last ones, and those just before them."""
FEWEST_BEFORE = 10
"""Fewest steps before them; while versions grow old for the first time the mismatch grows from nothing."""
FAR_KL = 10.0
"""Nats; so far from its reference a policy is another one, however slowly it went."""
MOST_MISMATCH = {FRESH: 0.01, MISMATCH: 0.05}
"""Nats. With a staleness of 4 the differences of a healthy run stay below; of fresh tokens they are numerics alone."""


def entropy_collapse(run: Evidence) -> Finding | None:
    """Find a policy that writes the same again and again, before it is right."""
    now, first, alike = run.recent(ENTROPY), run.early(ENTROPY), run.recent(UNIFORM)
    if now is None or first is None or alike is None or now > LOW_ENTROPY or now > COLLAPSED * first or alike < ALIKE:
        return None
    if (passed := run.pass_rate) is not None and passed >= SOLVED:
        return None
    right = "" if passed is None else f", and only {passed:.0%} of the responses are right"
    return Finding(
        rule="entropy_collapse",
        sentence=f"The entropy of the policy fell from {first:.2g} to {now:.2g} nats, {alike:.0%} of the groups have "
        f"equal rewards{right}: it no longer explores.",
        advice=f"Go back to an earlier checkpoint, and raise {run.now('algo.clip_high')}, "
        f"{run.now('algo.temperature')} or {run.now('algo.entropy_coefficient')}, or lower {run.now('learner.lr')}.",
        keys=("algo.clip_high", "algo.temperature", "algo.entropy_coefficient", "learner.lr"),
        metric=ENTROPY,
        step=run.step,
        example=run.examples.first(lambda row: row["label"] != "correct"),
    )


def kl_explosion(run: Evidence) -> Finding | None:
    """Find a policy that runs away from its reference."""
    now, before = _latest_and_before(run.series(KL))
    if now is None or now < MOST_KL:
        return None
    is_growing = before is not None and now > TIMES * before
    if not is_growing and now < FAR_KL:
        return None
    grew = f"grew from {before:.2g} to {now:.2g} nats a token" if before is not None else f"is {now:.2g} nats a token"
    return Finding(
        rule="kl_explosion",
        sentence=f"The KL to the reference {grew}: the policy runs away from it.",
        advice=f"Go back to an earlier checkpoint, and lower {run.now('learner.lr')} or "
        f"{run.now('learner.grad_clip')}, or raise {run.now('algo.kl_coefficient')}.",
        keys=("learner.lr", "learner.grad_clip", "algo.kl_coefficient"),
        metric=KL,
        step=run.step,
    )


def mismatch_growth(run: Evidence) -> Finding | None:
    """Find engines whose log-probabilities go away from the learner's."""
    for metric, floor in MOST_MISMATCH.items():
        now, before = _latest_and_before(run.series(metric))
        if now is None or before is None or now < floor or now < TIMES * before:
            continue
        return _mismatch(run, metric, f"grew from {before:.2g} to {now:.2g} nats a token")
    return None


def _mismatch(run: Evidence, metric: str, grew: str) -> Finding:
    if metric == FRESH:
        return Finding(
            rule="mismatch_growth",
            sentence=f"The mismatch of engines and learner {grew} on tokens of the version that is trained: they do "
            "not compute the same.",
            advice=f"Give both the same precision by {run.now('rollout.dtype')} and {run.now('learner.dtype')}, and "
            "look at what is set for the engines in rollout.engine_args.",
            keys=("rollout.dtype", "learner.dtype", "rollout.engine_args"),
            metric=metric,
            step=run.step,
        )
    return Finding(
        rule="mismatch_growth",
        sentence=f"The mismatch of engines and learner {grew}: the loss is about another policy than the one that "
        "sampled.",
        advice=f"Lower {run.now('algo.max_staleness')} or {run.now('learner.lr')}, or weigh tokens by "
        f"{run.now('algo.correction')}.",
        keys=("algo.max_staleness", "learner.lr", "algo.correction"),
        metric=metric,
        step=run.step,
    )


def _latest_and_before(values: list[float]) -> tuple[float | None, float | None]:
    """Return the medians of the last values and of those before them: one step that jumps moves neither."""
    if len(values) < LATEST:
        return None, None
    before = values[-LATEST - BEFORE : -LATEST]
    return median(values[-LATEST:]), median(before) if len(before) >= FEWEST_BEFORE else None
