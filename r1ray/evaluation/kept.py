"""Answers of evaluations in training, as the rollout log keeps them (``rollouts/eval_step=000120.parquet``).

RolloutRow --answered_of--> Answered --compare_steps--> pass@1 of two steps, paired by question
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from r1ray.evaluation.records import ACCURACY, Answered, Sample
from r1ray.evaluation.summary import ModelComparison, compare_models
from r1ray.telemetry.rollout_rows import RolloutRow
from r1ray.telemetry.rollouts import EVALUATION, read_rollouts, rollout_steps

COLUMNS = (
    *("group_id", "prompt_id", "domain", "extracted", "reward", "rewards", "outcome", "label", "detail"),
    *("status", "num_policy_tokens"),
)
"""What a comparison needs: no text."""


def answered_of(rows: Iterable[RolloutRow]) -> list[Answered]:
    """Return the questions of an evaluation with their judged samples, in the order of the rows, without texts."""
    by_question: dict[tuple[str, str], list[RolloutRow]] = {}
    for row in rows:
        by_question.setdefault((row["group_id"], row["prompt_id"]), []).append(row)
    return [
        Answered(
            id=f"{group_id} {prompt_id}",  # prompts of two rows may have one name, and a place other prompts later
            groups={"domain": members[0]["domain"]},
            num_prompt_tokens=0,
            samples=tuple(map(_sample, members)),
            classes=None,
        )
        for (group_id, prompt_id), members in by_question.items()
    ]


def compare_steps(folder: Path, *, seed: int) -> ModelComparison | None:
    """Return pass@1 of the last evaluation against the first, on the questions of both; None where there are no two, or
    no question of both.

    Args:
        folder: ``rollouts`` of a run.
    """
    steps = rollout_steps(folder, name=EVALUATION)
    if len(steps) < 2:
        return None
    first, last = (
        answered_of(read_rollouts(folder, step=step, columns=COLUMNS, name=EVALUATION))
        for step in (steps[0], steps[-1])
    )
    if not _scored(first) & _scored(last):
        return None
    return compare_models(last, first, seed=seed)


def _scored(questions: Iterable[Answered]) -> set[str]:
    return {each.id for each in questions if any(sample.value is not None for sample in each.samples)}


def _sample(row: RolloutRow) -> Sample:
    is_scored = row["outcome"] == "scored"
    return Sample(
        text="",
        num_tokens=row["num_policy_tokens"],
        is_truncated=row["status"] == "truncated",
        extracted=row["extracted"],
        value=row["rewards"].get(ACCURACY, row["reward"]) if is_scored else None,
        metrics=dict(row["rewards"]),
        detail=": ".join(filter(None, (row["label"], row["detail"]))),
        fault=None if is_scored else "reference" if row["outcome"] == "unscorable" else "machine",
    )
