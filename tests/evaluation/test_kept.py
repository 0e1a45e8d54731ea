from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from r1ray.errors import PartFailure
from r1ray.evaluation.kept import answered_of, compare_steps
from r1ray.telemetry.rollouts import EVALUATION, RolloutLog, read_rollouts
from r1ray.types import GroupRecord, Outcome, Scored, ScoredGroup, ScoredTrajectory, ScoringFailed, Unscorable
from tests.fakes import make_prompt, make_trajectory
from tests.learner.lending import Lent, by_id

RIGHT, WRONG = Scored(1.5, {"accuracy": 1.0, "format": 0.5}, label="correct"), Scored(0.5, {"accuracy": 0.0})


def keep(folder: Path, step: int, questions: Sequence[Sequence[Outcome]], *, first: int = 0) -> None:
    """Write an evaluation of questions, each with the outcomes of its samples."""
    records, made = [], []
    for number, outcomes in enumerate(questions, first):
        name = f"eval/sums/{number}"
        trajectories = [make_trajectory(group_id=name, index=i, text=f"{step}") for i in range(len(outcomes))]
        scored = tuple(
            ScoredTrajectory.of(each, outcome, extracted="4")
            for each, outcome in zip(trajectories, outcomes, strict=True)
        )
        group = ScoredGroup(
            group_id=name,
            trajectories=scored,
            removed=(),
            worker=0,
            incarnation="",
            generate_s=1.0,
            reward_s=0.0,
        )
        nothing = (None,) * len(outcomes)
        records.append(
            GroupRecord(
                group_id=name, prompt=make_prompt(f"p{number}"), group=group, advantages=nothing, status="evaluated"
            )
        )
        made += trajectories
    RolloutLog(folder).write(step, records, Lent(by_id(made)), EVALUATION)


def test_an_evaluation_is_kept_with_texts_and_results_by_question(tmp_path: Path) -> None:
    failed = PartFailure(part="accuracy", kind="x", message="x", response="")
    keep(tmp_path, 4, [[RIGHT, WRONG], [ScoringFailed("late"), Unscorable("no"), ScoringFailed("x", (failed,))]])
    rows = list(read_rollouts(tmp_path, step=4, name=EVALUATION))
    assert [(row["group_status"], row["advantage"], row["response_text"]) for row in rows] == [
        ("evaluated", None, "4")
    ] * 5
    first, second = answered_of(rows)
    assert [(each.value, each.is_right) for each in first.samples] == [(1.0, True), (0.0, False)]
    assert first.samples[0].metrics == {"accuracy": 1.0, "format": 0.5}
    assert [(each.value, each.fault) for each in second.samples] == [
        *((None, "machine"), (None, "reference"), (None, "machine"))
    ]


def test_the_last_evaluation_is_compared_with_the_first_question_by_question(tmp_path: Path) -> None:
    keep(tmp_path, 0, [[WRONG, WRONG]] * 8)
    keep(tmp_path, 5, [[RIGHT, WRONG]] * 8)
    keep(tmp_path, 9, [[RIGHT, RIGHT]] * 7 + [[WRONG, WRONG]])
    found = compare_steps(tmp_path, seed=0)
    assert found is not None and found.num_questions == 8
    assert found.comparison.difference.value == pytest.approx(7 / 8)
    assert (found.comparison.num_better, found.comparison.num_worse) == (7, 0)
    assert found.comparison.p_value < 0.05


def test_questions_of_one_evaluation_alone_are_left_out(tmp_path: Path) -> None:
    keep(tmp_path, 0, [[WRONG]] * 4)
    keep(tmp_path, 9, [[RIGHT]] * 3, first=2)
    found = compare_steps(tmp_path, seed=0)
    assert found is not None and (found.num_questions, found.num_left_out) == (2, 3)


def test_without_two_evaluations_of_a_question_there_is_nothing_to_compare(tmp_path: Path) -> None:
    assert compare_steps(tmp_path, seed=0) is None
    keep(tmp_path, 0, [[WRONG]])
    assert compare_steps(tmp_path, seed=0) is None
    keep(tmp_path, 9, [[ScoringFailed("late")]])
    assert compare_steps(tmp_path, seed=0) is None
