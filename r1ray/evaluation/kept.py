"""Answers of evaluations in training, as stored in the rollout log (``rollouts/eval_step=000120.parquet``).

RolloutRow --answered_of--> Answered --compare_steps--> pass@1 of two steps, paired by question
Answered --keep_answers--> the same file, for a stage whose model is evaluated outside of training
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from r1ray.evaluation.records import ACCURACY, Answered, Sample
from r1ray.evaluation.summary import ModelComparison, compare_models
from r1ray.runtime.files import written_aside
from r1ray.telemetry.rollout_rows import SCHEMA, RolloutRow, group_columns
from r1ray.telemetry.rollouts import EVALUATION, read_rollouts, rollout_file, rollout_steps
from r1ray.types import GroupRecord, Prompt

COLUMNS = (
    *("group_id", "prompt_id", "domain", "extracted", "reward", "rewards", "outcome", "label", "detail"),
    *("status", "num_policy_tokens"),
)
"""Columns that a comparison needs, without texts."""


def answered_of(rows: Iterable[RolloutRow]) -> list[Answered]:
    """Return the questions of an evaluation with their judged samples, in the order of the rows, without texts."""
    by_question: dict[tuple[str, str], list[RolloutRow]] = {}
    for row in rows:
        by_question.setdefault((row["group_id"], row["prompt_id"]), []).append(row)
    return [
        Answered(
            id=f"{group_id} {prompt_id}",  # two rows may have the same name, and a place may hold another prompt later
            groups={"domain": members[0]["domain"]},
            num_prompt_tokens=0,
            samples=tuple(map(_sample, members)),
            classes=None,
        )
        for (group_id, prompt_id), members in by_question.items()
    ]


def compare_steps(folder: Path, *, seed: int) -> ModelComparison | None:
    """Return pass@1 of the last evaluation against the first, on the questions of both; None if there are not two
    evaluations, or no common questions.

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


def keep_answers(
    folder: Path, step: int, *, stage: str, name: str, prompts: Sequence[Prompt], answered: Mapping[int, Answered]
) -> None:
    """Write the answers to prompts, by number, as the evaluation of a step.

    Args:
        folder: ``rollouts`` of a run.
        name: name of the prompts.
    """
    rows = [
        _group_columns(step, stage, f"eval/{name}/{number}", prompts[number]) | _sample_columns(index, sample)
        for number, question in sorted(answered.items())
        for index, sample in enumerate(question.samples)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    with written_aside(rollout_file(folder, step, name=EVALUATION)) as aside:
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), aside, compression="zstd")


def _group_columns(step: int, stage: str, group_id: str, prompt: Prompt) -> dict[str, Any]:
    return group_columns(
        step,
        stage,
        GroupRecord(group_id=group_id, prompt=prompt, group=None, advantages=(), status="evaluated"),
    )


def _sample_columns(index: int, sample: Sample) -> dict[str, Any]:
    """Return the columns of a sample: only the number of its tokens and the accuracy of its reward are known."""
    is_scored = sample.value is not None
    label, _, detail = sample.detail.partition(": ")
    return {
        "trajectory": index,
        "response_text": sample.text,
        "extracted": sample.extracted,
        "reward": sample.value,
        "rewards": list(sample.metrics.items()),
        "outcome": "scored" if is_scored else "unscorable" if sample.fault == "reference" else "infrastructure_error",
        "label": label if is_scored else None,
        "detail": detail if is_scored else sample.detail,
        "status": "truncated" if sample.is_truncated else "finished",
        "num_policy_tokens": sample.num_tokens,
        "num_turns": 1,
    }


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
