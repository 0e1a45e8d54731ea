"""Tasks of reasoning-gym over several turns."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from r1ray.checks import MathAnswer, ReasoningTask
from r1ray.environments.reasoning_gym import FEEDBACK, ReasoningGym
from r1ray.environments.world_context import WorldContext
from r1ray.errors import MachineTooBusy, UserError
from r1ray.turns import Action, Done, Message, Observation
from r1ray.types import Prompt, Score
from tests.reward.test_task import answer_of, tasks

CHECK = ReasoningTask(name="countdown", options="{}", entry="{}", threshold=1.0)
PROMPT = Prompt(id="0", text="q", check=CHECK, domain="countdown", language="en", environment="reasoning_gym")


class Scripted:
    """Checkers that give scores from a list, and raise what is an exception there."""

    def __init__(self, *scores: Score | Exception) -> None:
        self._scores, self.asked = list(scores), list[str]()

    async def grader(self) -> Scripted:
        return self

    async def score(self, check: ReasoningTask, text: str) -> Score:
        self.asked.append(text)
        score = self._scores.pop(0)
        if isinstance(score, Exception):
            raise score
        return score


def played(scripted: Scripted, answers: Sequence[str], **options: Any) -> list[Observation | Done]:
    """Return the answers of a world to each turn, the reset first."""

    async def scenario() -> list[Observation | Done]:
        context = WorldContext()
        context.shared("reasoning_gym", lambda: scripted)
        world = ReasoningGym(context=context, **options)
        found: list[Observation | Done] = [await world.reset(PROMPT, 0)]
        for answer in answers:
            found.append(await world.step(Action(content=answer, text=answer)))
        await world.close()
        return found

    return asyncio.run(scenario())


def told(feedback: str) -> Observation:
    return Observation(messages=(Message("user", FEEDBACK[feedback]),))


def test_a_right_answer_ends_the_trajectory() -> None:
    scripted = Scripted(Score(1.0, "correct", "1", "countdown: 1"))
    start, done = played(scripted, ["<answer>1</answer>"])
    assert start == Observation(messages=(Message("user", "q"),))
    assert done == Done(rewards={"task": 1.0}, label="correct", detail="countdown: 1")
    assert scripted.asked == ["<answer>1</answer>"]


def test_other_answers_are_told_what_is_wrong_until_the_turns_are_used_up() -> None:
    scripted = Scripted(Score(0.0, "no_answer"), Score(0.0, "timeout"), Score(0.0, "wrong", detail="d"))
    assert played(scripted, "abc")[1:] == [
        told("no_answer"),
        told("timeout"),
        Done(rewards={"task": 0.0}, label="wrong", detail="d"),
    ]


def test_an_answer_after_feedback_is_paid_in_full() -> None:
    scripted = Scripted(Score(0.0, "wrong"), Score(1.0, "correct"))
    assert played(scripted, "ab")[2] == Done(rewards={"task": 1.0}, label="correct")


def test_partial_credit_is_what_the_check_pays_of_the_last_answer() -> None:
    scripted = Scripted(Score(0.6, "partial"), Score(0.4, "partial"))
    assert played(scripted, "ab", max_turns=2)[1:] == [told("partial"), Done(rewards={"task": 0.4}, label="partial")]


def test_a_machine_that_is_too_busy_is_no_wrong_answer() -> None:
    with pytest.raises(MachineTooBusy):
        played(Scripted(MachineTooBusy("busy")), "a")


def test_a_row_without_a_task_is_refused() -> None:
    other = Prompt(id="0", text="q", check=MathAnswer("1"), domain="math", language="en")
    problem = ReasoningGym().row_problem(other)
    assert problem is not None and "not a task of reasoning-gym" in problem


@pytest.mark.parametrize("max_turns", [0, -2, 1.5, True, None])
def test_a_number_of_turns_is_a_whole_one(max_turns: Any) -> None:
    with pytest.raises(UserError, match="needs a whole number of turns"):
        ReasoningGym(max_turns=max_turns)


@pytest.mark.long
@pytest.mark.needs("isolation")
def test_the_set_s_own_checker_judges_and_what_it_would_execute_does_nothing(tmp_path: Path) -> None:
    check = tasks(tmp_path, "countdown", size=1)["countdown"]
    planted = tmp_path / "planted"
    hostile = f"__import__('os').system('touch {planted}')"

    async def scenario() -> list[Observation | Done]:
        world = ReasoningGym(max_turns=4)
        await world.check()
        try:
            await world.reset(Prompt(id="0", text="q", check=check, domain="countdown", language="en"), 0)
            answers = [hostile, "1+1", answer_of(check)]
            return [await world.step(Action(content=f"<answer>{each}</answer>")) for each in answers]
        finally:
            await world.close()

    first, wrong, right = asyncio.run(scenario())
    assert (first, wrong) == (told("wrong"), told("wrong"))
    assert isinstance(right, Done) and (right.rewards, right.label) == ({"task": 1.0}, "correct")
    assert not planted.exists()
