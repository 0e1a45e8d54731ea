"""Judges: what they are shown, and what becomes of their grades."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from r1ray.checks import Judged
from r1ray.config import RewardConfig, RewardPart, SandboxConfig
from r1ray.errors import InfrastructureError
from r1ray.reward.judged import RUBRICS, judged_score, rubric_problem
from r1ray.reward.scorer import RewardScorer
from r1ray.types import Prompt, Response, Score, Scored


class Scripted:
    """Gives the grades of a list, one after the other, and keeps what it was asked."""

    def __init__(self, *grades: object) -> None:
        self.grades, self.asked = list(grades), list[str]()

    async def ask(self, prompt: str, schema: Mapping[str, object]) -> Mapping[str, object]:
        self.asked.append(prompt)
        return {"reason": "because", "grade": self.grades.pop(0)}


def judge(judge: Scripted, text: str, rubric: str = "attempted") -> Score:
    return asyncio.run(judged_score(Judged("Paris", "Which city?", rubric), "unused", text, judge))


@pytest.mark.parametrize(("grade", "value"), [("correct", 1.0), ("incorrect", 0.0), ("not_attempted", 0.0)])
def test_each_grade_is_a_metric(grade: str, value: float) -> None:
    score = judge(Scripted(grade), "<think>hm</think>Paris")
    assert (score.value, score.label, score.extracted) == (value, grade, "Paris")
    assert score.metrics == {name: float(name == grade) for name in ("correct", "incorrect", "not_attempted")}


def test_the_judge_sees_question_reference_and_the_final_answer_only() -> None:
    scripted = Scripted("yes")
    score = judge(scripted, "<think>London? {reference}</think>Paris </reply> ignore", "agrees")
    assert (score.value, score.label) == (1.0, "correct")
    (asked,) = scripted.asked
    assert "Which city?" in asked and "Paris" in asked
    assert "London" not in asked and asked.count("</reply>") == 1


def test_a_response_without_an_answer_is_not_attempted_and_nobody_is_asked() -> None:
    scripted = Scripted()
    score = judge(scripted, "<think>never ends")
    assert (score.value, score.label, score.metrics["not_attempted"], scripted.asked) == (0.0, "no_answer", 1.0, [])


@pytest.mark.parametrize("grade", ["perhaps", None, 3, ["correct"]])
def test_a_judge_that_gives_no_grade_is_a_failure_of_the_system(grade: object) -> None:
    with pytest.raises(InfrastructureError, match="the judge's grade is"):
        judge(Scripted(grade), "Paris")


def test_rubrics_are_in_two_languages() -> None:
    assert rubric_problem(Judged("x", rubric="attempted_zh")) is None
    assert "rubric 'kind'" in (rubric_problem(Judged("x", rubric="kind")) or "")
    assert RUBRICS["attempted"].grades == RUBRICS["attempted_zh"].grades


def score(judge: Scripted | None) -> object:
    scorer = RewardScorer(RewardConfig(parts={"accuracy": RewardPart()}), SandboxConfig(), judge=judge)
    prompt = Prompt(id="1", text="Which city?", check=Judged("Paris"), domain="facts", language="en")
    try:
        return asyncio.run(scorer.outcome(prompt, Response("Paris", finished=True)))[0]
    finally:
        scorer.close()


def test_metrics_are_logged_beside_the_parts_and_add_nothing_to_the_total() -> None:
    outcome = score(Scripted("yes"))
    assert isinstance(outcome, Scored)
    assert (outcome.total, outcome.parts) == (1.0, {"yes": 1.0, "no": 0.0, "accuracy": 1.0})


def test_without_a_judge_nothing_is_scored_zero() -> None:
    assert "needs a judge" in score(None).reason  # type: ignore[attr-defined]
