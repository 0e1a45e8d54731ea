"""Responses that are cut, that hold no answer, or that go missing because they are long."""

from __future__ import annotations

from r1ray.telemetry.diagnosis.evidence import WINDOW, Evidence
from r1ray.telemetry.diagnosis.finding import Finding

TRUNCATED, NO_ANSWER, LENGTH = "completion/truncated_rate", "scoring/no_answer", "completion/length_mean"
MOST_TRUNCATED = 1 / 3
MOST_UNREAD = 0.5
"""Share of responses without an answer, cut ones apart."""
FALLING = 0.8
"""A share that is below so much of what it was at first is falling: the policy learns the form."""
STEPS_FOR_FORM = 10
"""Steps that a policy has to begin to learn it."""
MOST_REMOVED = {"truncated": 0.1, "": 0.05}
"""Share of trajectories that may be removed for a reason, or for any other."""
AT_THE_END = "stopped"
"""Reason of what is left when a run ends; it teaches nobody any more."""
LONGER = 1.2
"""Times the mean length of what was trained on."""


def truncated(run: Evidence) -> Finding | None:
    """Find a run more than a third of whose responses the length limit cuts."""
    rate = _rate_of_cut(run)
    if rate is None:
        return None
    return Finding(
        rule="truncated",
        sentence=f"The length limit cuts {rate:.0%} of the responses of the last {WINDOW} steps; cut ones have no "
        "answer, and are paid as wrong.",
        advice=f"Raise {run.now('algo.max_completion_tokens')}, dock responses near the limit by "
        f"{run.now('algo.overlong_share')}, or leave cut ones out of the loss by {run.now('algo.mask_truncated')}.",
        keys=("algo.max_completion_tokens", "algo.overlong_share", "algo.mask_truncated"),
        metric=TRUNCATED,
        step=run.step,
        example=run.examples.first(lambda row: row["status"] == "truncated"),
    )


def _rate_of_cut(run: Evidence) -> float | None:
    """Return the share of responses that the limit cuts; None if it is no more than may be."""
    rate = run.recent(TRUNCATED)
    return rate if rate is not None and rate > MOST_TRUNCATED else None


def unread_answers(run: Evidence) -> Finding | None:
    """Find a run in most of whose responses no answer is found, and which does not learn the form."""
    now, first = _unread(run, is_recent=True), _unread(run, is_recent=False)
    if run.num_steps < STEPS_FOR_FORM or now is None or first is None:
        return None
    if now <= MOST_UNREAD or now < FALLING * first:
        return None
    return Finding(
        rule="unread_answers",
        sentence=f"No answer is found in {now:.0%} of the responses of the last {WINDOW} steps that were not cut, and "
        "the share does not fall.",
        advice="Ask for the form that is looked for (data.template, data.system_prompt, data.suffix), pay for it (a "
        "part in reward.parts), or accept the form that the model writes (reward.answer_forms).",
        keys=("data.template", "data.system_prompt", "data.suffix", "reward.parts", "reward.answer_forms"),
        metric=NO_ANSWER,
        step=run.step,
        example=run.examples.first(lambda row: row["label"] == "no_answer" and row["status"] != "truncated"),
    )


def _unread(run: Evidence, *, is_recent: bool) -> float | None:
    """Return the share of responses without an answer among those that were not cut: a cut one has none as a rule."""
    mean = run.recent if is_recent else run.early
    share, cut = mean(NO_ANSWER, default=0.0), mean(TRUNCATED, default=0.0)
    if share is None or cut is None or cut >= 1.0:
        return None
    return max(0.0, share - cut) / (1.0 - cut)


def long_removed(run: Evidence) -> Finding | None:
    """Find a run that loses its longest responses, which teaches a policy to be short."""
    trained = run.recent(LENGTH)
    reasons = [name.removesuffix("_rate").removeprefix("removed/") for name in run.names("removed/")]
    found = []
    for reason in reasons:
        rate, lengths = run.recent(f"removed/{reason}_rate", default=0.0), run.series(f"removed/{reason}_length_mean")
        if rate is None or not lengths or trained is None or reason == AT_THE_END:
            continue
        if reason == "truncated" and _rate_of_cut(run) is not None:
            continue  # the rule `truncated` says it
        if rate > MOST_REMOVED.get(reason, MOST_REMOVED[""]) and lengths[-1] > LONGER * trained:
            found.append((rate, reason, lengths[-1]))
    if not found or trained is None:
        return None
    rate, reason, length = max(found)
    advice, keys = _advice(run, reason)
    return Finding(
        rule="long_removed",
        sentence=f"{rate:.0%} of the trajectories of the last {WINDOW} steps were removed ({reason}), with "
        f"{length:.0f} tokens where those that are trained on have {trained:.0f}: the policy learns to be short.",
        advice=advice,
        keys=keys,
        metric=f"removed/{reason}_rate",
        step=run.step,
    )


def _advice(run: Evidence, reason: str) -> tuple[str, tuple[str, ...]]:
    """Return what keeps responses from being removed for a reason."""
    if reason == "truncated":
        limit, docked = run.now("algo.max_completion_tokens"), run.now("algo.overlong_share")
        keys = ("algo.max_completion_tokens", "algo.overlong_share")
        return f"Raise {limit}, or dock responses near the limit by {docked} instead.", keys
    if reason == "stale":
        return f"Raise {run.now('algo.max_staleness')}.", ("algo.max_staleness",)
    keys = ("deadlines.generate_s", "algo.min_group_size")
    return f"Raise {run.now(keys[0])}, or wait for whole groups with {keys[1]}=null.", keys
