"""How often a judge agrees with the rules, on samples of prompts that have one: a metric of the data set."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from r1ray.checks import Judged, MathAnswer
from r1ray.cluster.launch_evaluation import RunningEvaluation
from r1ray.evaluation.policy import trajectory_of
from r1ray.evaluation.records import ACCURACY, Answered, Sample
from r1ray.runtime.files import write_json
from r1ray.stages.collect.questions import Question, text_of
from r1ray.types import Scored

logger = logging.getLogger(__name__)


async def compare_judge(
    running: RunningEvaluation,
    questions: Sequence[Question],
    answered: Mapping[int, Answered],
    path: Path,
    *,
    num_samples: int,
) -> None:
    """Have the judge grade ``num_samples`` samples, half of them right and half wrong as far as there are so many, and
    write to ``path`` how many it graded, how many it failed to, and its agreement with the rules."""
    chosen = _drawn(questions, answered, half=num_samples // 2)
    graded = await asyncio.gather(*(_agrees(running, *pair) for pair in chosen))
    known = [agreed for agreed in graded if agreed is not None]
    num_failed = len(graded) - len(known)
    agreement = {"agreement": sum(known) / len(known)} if known else {}
    write_json(path, {"num_graded": len(known), "num_failed": num_failed, **agreement})
    logger.info(
        f"judge: agrees with the rules on {sum(known)} of {len(known)} samples; it gave no grade to {num_failed}"
    )


def _drawn(
    questions: Sequence[Question], answered: Mapping[int, Answered], *, half: int
) -> list[tuple[Question, Sample]]:
    by_value: dict[bool, list[tuple[Question, Sample]]] = {True: [], False: []}
    for number in sorted(answered):
        question = questions[number]
        if isinstance(question.raw.check, MathAnswer):
            for sample in answered[number].samples:
                if sample.value is not None:
                    by_value[sample.is_right].append((question, sample))
    return [pair for pairs in by_value.values() for pair in pairs[:half]]


async def _agrees(running: RunningEvaluation, question: Question, sample: Sample) -> bool | None:
    assert isinstance(question.raw.check, MathAnswer)
    check = Judged(question.raw.check.answer, question=text_of(question.raw))
    text = trajectory_of(sample.text, index=0, num_tokens=sample.num_tokens, is_finished=True)
    scored = await running.groups.score(replace(question.prompt, check=check), text)
    outcome = scored.outcome
    return (outcome.parts[ACCURACY] >= 1.0) == sample.is_right if isinstance(outcome, Scored) else None
