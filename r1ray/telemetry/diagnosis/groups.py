"""Groups that teach nothing: all their rewards are equal, step after step."""

from __future__ import annotations

from r1ray.telemetry.diagnosis.evidence import WINDOW, Evidence
from r1ray.telemetry.diagnosis.finding import Finding

UNIFORM = "group/uniform_rate"
MOST = 0.95
"""Share of uniform groups from which on a run learns nothing."""
LEARNED = 0.5
"""A run whose groups were less uniform when it began has come to this by learning."""
HARD, EASY = 0.1, 0.9
"""Pass rates of prompts that are too hard, and too easy."""
EQUAL = 1e-9


def uniform_groups(run: Evidence) -> Finding | None:
    """Find a run of whose groups none teaches anything, and say why."""
    rate = run.recent(UNIFORM)
    if rate is None or rate < MOST:
        return None
    passed = run.pass_rate
    said = f"{rate:.0%} of the groups of the last {WINDOW} steps have equal rewards, so that nothing is learned"
    if passed is None:
        return _unlabelled(run, said)
    said += f"; {passed:.0%} of the responses are right"
    if _is_flat(run):
        said += f", and the mean reward stays {_paid(run)[-1]:g}"
    if _is_broken(run, passed):
        return _broken(run, said)
    if passed >= EASY:
        return None if _has_learned(run) else _too_easy(run, said)
    return _too_hard(run, said) if passed <= HARD else _always_or_never(run, said)


def _has_learned(run: Evidence) -> bool:
    early = run.early(UNIFORM)
    return early is not None and early < LEARNED


def _paid(run: Evidence) -> list[float]:
    return run.series("reward/mean")[-WINDOW:]


def _is_flat(run: Evidence) -> bool:
    """Return whether the mean reward is the same in each of the last steps."""
    paid = _paid(run)
    return bool(paid) and max(paid) - min(paid) < EQUAL


def _is_broken(run: Evidence, passed: float) -> bool:
    """Return whether right and wrong responses are paid the same. With no more than the metrics, a reward that never
    moves while some responses are right says so."""
    paid = {
        is_right: {row["reward"] for row in run.examples.rows if row["label"] in labels and row["reward"] is not None}
        for is_right, labels in ((True, ("correct",)), (False, ("wrong", "no_answer")))
    }
    if paid[True] and paid[False]:
        return len(paid[True] | paid[False]) == 1
    return _is_flat(run) and HARD < passed < EASY


def _broken(run: Evidence, said: str) -> Finding:
    return _finding(
        run,
        f"{said}: the reward does not tell right from wrong.",
        "Score a right and a wrong response by hand (r1ray score), and look at the functions and weights of "
        "reward.parts.",
        ("reward.parts",),
        label="correct",
    )


def _too_easy(run: Evidence, said: str) -> Finding:
    return _finding(
        run,
        f"{said}: the prompts are too easy for this model.",
        "Take harder prompts (data.train), or leave out those that it always passes (data.difficulty.retire_after).",
        ("data.train", "data.difficulty.retire_after"),
        label="correct",
    )


def _too_hard(run: Evidence, said: str) -> Finding:
    return _finding(
        run,
        f"{said}: the prompts are too hard for this model, or its answers are not in the form that the reward looks "
        "for.",
        f"Take easier prompts (data.train), raise {run.now('algo.group_size')}, or mend the form (data.template, "
        "reward.answer_forms).",
        ("data.train", "algo.group_size", "data.template", "reward.answer_forms"),
    )


def _always_or_never(run: Evidence, said: str) -> Finding:
    return _finding(
        run,
        f"{said}: each prompt is passed always or never.",
        f"Raise {run.now('algo.temperature')} or {run.now('algo.group_size')}, or have those come "
        "more often that it passes sometimes (data.difficulty.band).",
        ("algo.temperature", "algo.group_size", "data.difficulty.band"),
    )


def _unlabelled(run: Evidence, said: str) -> Finding:
    """Return what can be said where no check labels responses."""
    paid = _paid(run)
    mean = f"all are paid {paid[-1]:g}" if _is_flat(run) else f"the mean reward is {paid[-1] if paid else 0:.3g}"
    return _finding(
        run,
        f"{said}; {mean}: the prompts are too hard or too easy, or the reward says the same of every response.",
        "Score some responses by hand (r1ray score), look at reward.parts, take other prompts (data.train), or raise "
        f"{run.now('algo.group_size')}.",
        ("reward.parts", "data.train", "algo.group_size"),
    )


def _finding(run: Evidence, sentence: str, advice: str, keys: tuple[str, ...], *, label: str = "") -> Finding:
    """Return the finding with a response as an example; of that label where one is given."""
    example = run.examples.first(lambda row: not label or row["label"] == label)
    return Finding(
        rule="uniform_groups",
        sentence=sentence,
        advice=advice,
        keys=keys,
        metric=UNIFORM,
        step=run.step,
        example=example,
    )
