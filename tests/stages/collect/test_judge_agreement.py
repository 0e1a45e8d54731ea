"""How often a judge agrees with the rules: the judge here is a fake that looks for a word."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from r1ray.checks import FormatOnly, Judged, MathAnswer
from r1ray.data.layouts import RawPrompt
from r1ray.evaluation.records import Answered, Sample
from r1ray.stages.collect.judge_agreement import compare_judge
from r1ray.stages.collect.questions import Question
from r1ray.types import Outcome, Scored, ScoringFailed, Trajectory
from tests.fakes import FakeScorer, make_prompt


def question(name: str, check: Any) -> Question:
    return Question(RawPrompt(name, f"question {name}", check, "", "en"), "plain", make_prompt(name))


def samples(name: str, *texts: str) -> Answered:
    """A sample whose text has ``right`` in it is right by the rules; one with ``?`` could not be scored."""
    made = tuple(
        Sample(
            text=text,
            num_tokens=3,
            is_truncated=False,
            extracted=None,
            value=None if "?" in text else float("right" in text),
            metrics={},
            detail="",
            fault="machine" if "?" in text else None,
        )
        for text in texts
    )
    return Answered(id=name, groups={}, num_prompt_tokens=1, samples=made, classes=None)


def compared(tmp_path: Path, questions: list[Question], *answered: Answered, num: int) -> tuple[dict[str, Any], int]:
    """What is written, and how many samples the judge saw."""

    def judge(trajectory: Trajectory) -> Outcome:
        if "silent" in trajectory.text:
            return ScoringFailed("no grade")
        return Scored(1.0, {"accuracy": float("liked" in trajectory.text)})

    scorer = FakeScorer(judge)
    running: Any = SimpleNamespace(groups=scorer)
    path = tmp_path / "judge.json"
    asyncio.run(compare_judge(running, questions, dict(enumerate(answered)), path, num_samples=num))
    return json.loads(path.read_text()), len(scorer.scored)


def test_agreement_is_of_right_and_wrong_samples_that_the_judge_graded(tmp_path: Path) -> None:
    answered = samples("a", "right liked", "right", "wrong", "wrong liked", "wrong silent", "right?")
    found, num_seen = compared(tmp_path, [question("a", MathAnswer("5"))], answered, num=100)
    assert num_seen == 5, "what could not be scored by the rules is not asked"
    assert found == {"num_graded": 4, "num_failed": 1, "agreement": pytest.approx(0.5)}


def test_half_of_the_samples_are_right_and_half_wrong(tmp_path: Path) -> None:
    answered = samples("a", *["right liked"] * 8, *["wrong"] * 2)
    found, num_seen = compared(tmp_path, [question("a", MathAnswer("5"))], answered, num=6)
    assert num_seen == 5 and found == {"num_graded": 5, "num_failed": 0, "agreement": 1.0}


def test_only_prompts_with_a_rule_are_asked(tmp_path: Path) -> None:
    questions = [question("a", FormatOnly()), question("b", Judged("5", question="b"))]
    found, num_seen = compared(tmp_path, questions, samples("a", "right"), samples("b", "right"), num=4)
    assert num_seen == 0 and found == {"num_graded": 0, "num_failed": 0}
