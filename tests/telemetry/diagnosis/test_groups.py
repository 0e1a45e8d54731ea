from __future__ import annotations

import random
from pathlib import Path

from tests.page.planted import group_rows, write_rows
from tests.telemetry.diagnosis.planted_runs import PLANTED
from tests.telemetry.diagnosis.recorded import found, planted


def rollouts_of(folder: Path, *, labels: list[str], rewards: list[float]) -> Path:
    """Write a step of rollouts, a trajectory for each label."""
    rows = list(group_rows(1, 0, len(labels), 6, random.Random(0)))
    for row, label, reward in zip(rows, labels, rewards, strict=True):
        row |= {"label": label, "reward": reward, "response_text": f"it is {label}\x1b[2J\nindeed"}
    folder.mkdir(parents=True)
    write_rows(folder / "step=000040.parquet", rows)
    return folder


def test_the_sentence_says_why_no_group_teaches_with_the_pass_rate() -> None:
    said = {name: found(planted(PLANTED[f"uniform_groups:{name}"]))["uniform_groups"] for name in ("hard", "easy")}
    assert "too hard" in said["hard"].sentence and "0% of the responses are right" in said["hard"].sentence
    assert "too easy" in said["easy"].sentence and "99% of the responses are right" in said["easy"].sentence
    assert "data.difficulty.retire_after" in said["easy"].keys


def test_a_reward_that_never_moves_while_some_responses_are_right_is_broken() -> None:
    finding = found(planted(PLANTED["uniform_groups:broken"]))["uniform_groups"]
    assert "the mean reward stays 1: the reward does not tell right from wrong" in finding.sentence


def test_prompts_that_are_passed_always_or_never_want_more_exploration() -> None:
    finding = found(planted({**PLANTED["uniform_groups:broken"], "reward/mean": lambda step: 1 + step / 100}))
    assert "always or never" in finding["uniform_groups"].sentence
    assert "algo.temperature" in finding["uniform_groups"].keys


def test_without_labels_the_reward_is_named() -> None:
    labels = dict.fromkeys(("scoring/correct", "scoring/wrong", "scoring/no_answer"))
    finding = found(planted({**PLANTED["uniform_groups:broken"], **labels}))["uniform_groups"]
    assert "all are paid 1" in finding.sentence and "%" in finding.sentence and "are right" not in finding.sentence


def test_dropped_groups_count_and_the_example_is_one_of_the_last_step(tmp_path: Path) -> None:
    rows = planted(PLANTED["uniform_groups:broken"])
    hard = rollouts_of(tmp_path / "hard", labels=["wrong"] * 4, rewards=[0.0] * 4)
    finding = found(rows, rollouts=hard)["uniform_groups"]
    assert "too hard" in finding.sentence and "0% of the responses are right" in finding.sentence
    assert 'it says "it is wrong [2J indeed"' in finding.example and "\x1b" not in finding.line
    broken = rollouts_of(tmp_path / "broken", labels=["wrong", "correct"] * 2, rewards=[1.0] * 4)
    finding = found(rows, rollouts=broken)["uniform_groups"]
    assert "does not tell right from wrong" in finding.sentence and "it is correct" in finding.example


def test_a_run_that_has_learned_its_prompts_is_not_called_too_easy() -> None:
    rows = planted({**PLANTED["uniform_groups:easy"], "group/uniform_rate": lambda step: 0.2 if step < 10 else 1.0})
    assert found(rows) == {}
