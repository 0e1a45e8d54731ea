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


def uniform_groups(run: Evidence) -> Finding | None:
    """Find a run of whose groups none teaches anything, and say why."""
    rate = run.recent(UNIFORM)
    if rate is None or rate < MOST:
        return None
    passed, reward = run.pass_rate, run.series("reward/mean")[-WINDOW:]
    said = f"{rate:.0%} of the groups of the last {WINDOW} steps have equal rewards, so that nothing is learned"
    known = f"; {passed:.0%} of the responses are right" if passed is not None else ""
    is_flat = bool(reward) and max(reward) - min(reward) < 1e-9
    if _is_broken(run, passed, is_flat=is_flat):
        return _finding(
            run,
            f"{said}{known}, and all are paid {reward[-1]:g}: the reward does not tell right from wrong.",
            "Score a right and a wrong response by hand (r1ray score), and look at the functions and weights of "
            "reward.parts.",
            ("reward.parts",),
            label="correct",
        )
    if passed is None:
        return _unlabelled(run, said, is_flat=is_flat, reward=reward[-1] if reward else 0.0)
    if passed >= EASY:
        if (early := run.early(UNIFORM)) is not None and early < LEARNED:
            return None
        return _finding(
            run,
            f"{said}{known}: the prompts are too easy for this model.",
            "Take harder prompts (data.train), or only those that it does not always pass (data.difficulty.max).",
            ("data.train", "data.difficulty.max"),
            label="correct",
        )
    if passed <= HARD:
        return _finding(
            run,
            f"{said}{known}: the prompts are too hard for this model, or its answers are not in the form that the "
            "reward looks for.",
            f"Take easier prompts (data.difficulty.min), raise {run.now('algo.group_size')}, or mend the form "
            "(data.template, reward.answer_forms).",
            ("data.difficulty.min", "algo.group_size", "data.template", "reward.answer_forms"),
            label="",
        )
    return _finding(
        run,
        f"{said}{known}: each prompt is passed always or never.",
        f"Raise {run.now('algo.temperature')} or {run.now('algo.group_size')}, or take prompts between "
        "(data.difficulty.band).",
        ("algo.temperature", "algo.group_size", "data.difficulty.band"),
        label="",
    )


def _is_broken(run: Evidence, passed: float | None, *, is_flat: bool) -> bool:
    """Return whether right and wrong responses are paid the same. With no more than the metrics, a reward that never
    moves while some responses are right says so."""
    paid = {
        is_right: {row["reward"] for row in run.examples.rows if row["label"] in labels and row["reward"] is not None}
        for is_right, labels in ((True, ("correct",)), (False, ("wrong", "no_answer")))
    }
    if paid[True] and paid[False]:
        return len(paid[True] | paid[False]) == 1
    return is_flat and passed is not None and HARD < passed < EASY


def _unlabelled(run: Evidence, said: str, *, is_flat: bool, reward: float) -> Finding:
    """Return what can be said where no check labels responses."""
    paid = f"all are paid {reward:g}" if is_flat else f"the mean reward is {reward:.3g}"
    return _finding(
        run,
        f"{said}; {paid}: the prompts are too hard or too easy, or the reward says the same of every response.",
        f"Score some responses by hand (r1ray score), look at reward.parts, take other prompts (data.train), or raise "
        f"{run.now('algo.group_size')}.",
        ("reward.parts", "data.train", "algo.group_size"),
        label="",
    )


def _finding(run: Evidence, sentence: str, advice: str, keys: tuple[str, ...], *, label: str) -> Finding:
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
