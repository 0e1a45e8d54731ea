"""Questions asked once: what is answered stays answered, whatever ends the asking."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from r1ray.config import Deadlines, RolloutConfig
from r1ray.errors import InfrastructureError, UserError
from r1ray.evaluation.records import Answered
from r1ray.stages.evaluate.asking import ask, read_answers, read_lines
from r1ray.types import Outcome, Sampling, Scored, ScoringFailed, Trajectory
from tests.fakes import Events, FakeEngine, FakeGroups, FakeScorer, make_prompt
from tests.listening import listening


@dataclass
class World:
    """Engines and a scorer, as :class:`r1ray.cluster.launch_evaluation.RunningEvaluation` has them."""

    engine: FakeEngine
    scorer: FakeScorer
    said: list[str]

    def ask(self, path: Path, *, questions: int = 4) -> dict[int, Answered]:
        running: Any = SimpleNamespace(groups=FakeGroups(self.engine, self.scorer), reward_model=None)
        with listening(self.said.append):
            answered, _ = asyncio.run(
                ask(
                    running,
                    {number: make_prompt(f"q{number}") for number in range(questions)},
                    path,
                    name="sums",
                    samples=2,
                    sampling=Sampling(0.6, 0.95, 8),
                    seed=1,
                    rollout=RolloutConfig(max_num_seqs=1),
                    deadlines=Deadlines(),
                )
            )
        return answered


def world(**reward: Any) -> World:
    return World(FakeEngine(Events()), FakeScorer(**reward), [])


def asked(made: World) -> list[str]:
    return [event.split()[1] for event in made.engine.events]


def test_every_question_is_a_line_as_soon_as_it_is_answered(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    answered = world().ask(path)
    assert sorted(answered) == [0, 1, 2, 3]
    assert [json.loads(line)["number"] for line in path.read_text().splitlines()] == [0, 1, 2, 3]
    assert read_answers(path) == answered


def test_what_is_answered_is_not_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    first = world().ask(path, questions=2)
    again = world()
    assert {n: again.ask(path)[n] for n in (0, 1)} == first
    assert asked(again) == ["eval/sums/2", "eval/sums/3"]
    assert "2 of them answered before" in again.said[0]


@pytest.mark.faults
def test_a_line_that_a_crash_cut_off_is_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    whole = world().ask(path)
    path.write_bytes(path.read_bytes()[:-30])
    again = world()
    assert again.ask(path) == whole
    assert asked(again) == ["eval/sums/3"]
    assert len(read_lines(path)) == 4, "and nothing torn is left in the file"


@pytest.mark.faults
def test_a_question_that_the_machine_could_not_judge_is_asked_again_the_next_time(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"

    def reward(trajectory: Trajectory) -> Outcome:
        return ScoringFailed("no sandbox") if trajectory.group_id == "eval/sums/1" else Scored(1.0, {"accuracy": 1.0})

    with pytest.raises(InfrastructureError, match=r"sums: 1 of 4 questions .*q1: no sandbox.*asks these again"):
        world(reward=reward).ask(path)
    assert sorted(read_answers(path)) == [0, 2, 3], "never kept as wrong"
    again = world()
    again.ask(path)
    assert asked(again) == ["eval/sums/1"]


def test_answers_to_other_questions_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    world().ask(path)
    path.write_text(path.read_text().replace('"id": "q1"', '"id": "other"'))
    with pytest.raises(UserError, match="answer 1 is of other, and not of this question"):
        world().ask(path)


@pytest.mark.faults
def test_a_broken_line_is_named_and_reading_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    world().ask(path)
    torn = path.read_bytes()[:-30]
    path.write_bytes(torn)
    assert len(read_lines(path)) == 3
    assert path.read_bytes() == torn, "somebody else may be writing it"
    path.write_bytes(b"garbage\n" + torn)
    with pytest.raises(UserError, match="line 1 is broken"):
        read_answers(path)
