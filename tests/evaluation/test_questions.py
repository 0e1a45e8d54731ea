from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from r1ray.errors import DeadlineExceeded, InfrastructureError
from r1ray.evaluation.questions import ask_each, longest_in_worlds
from r1ray.types import Prompt
from tests.fakes import make_prompt

PROMPTS = {3: make_prompt("a"), 1: make_prompt("b"), 7: make_prompt("c")}


class Desk:
    """Answers a question with its text after some turns of the event loop, and counts who is there at a time."""

    def __init__(self, turns: dict[int, int] | None = None) -> None:
        self.turns, self.kept, self.num_there, self.most_there = turns or {}, list[int](), 0, 0

    async def ask(self, index: int, prompt: Prompt) -> str:
        self.num_there += 1
        self.most_there = max(self.most_there, self.num_there)
        for _ in range(self.turns.get(index, 1)):
            await asyncio.sleep(0)
        self.num_there -= 1
        return f"answer to {prompt.id}"

    def keep(self, index: int, answer: str) -> None:
        self.kept.append(index)

    def run(
        self, *, at_a_time: int, deadline_s: float = 60, world_s: float = 0.0, environment: str = ""
    ) -> dict[int, str]:
        asked = ask_each(
            {index: replace(prompt, environment=environment) for index, prompt in PROMPTS.items()},
            self.ask,
            at_a_time=at_a_time,
            deadline_s=deadline_s,
            world_s=world_s,
            sought=lambda prompt: f"the answer to {prompt.id}",
            keep=self.keep,
        )
        return asyncio.run(asked)


def test_answers_come_in_the_order_of_the_questions_and_are_kept_as_they_arrive() -> None:
    desk = Desk({3: 9})
    answers = desk.run(at_a_time=3)
    assert list(answers.items()) == [(index, f"answer to {prompt.id}") for index, prompt in PROMPTS.items()]
    assert desk.kept == [1, 7, 3]


@pytest.mark.parametrize(("at_a_time", "most"), [(0, 1), (1, 1), (2, 2), (9, 3)])
def test_so_many_questions_are_asked_at_a_time(at_a_time: int, most: int) -> None:
    desk = Desk()
    desk.run(at_a_time=at_a_time)
    assert desk.most_there == most


def test_a_late_answer_names_what_was_waited_for_and_the_key() -> None:
    with pytest.raises(DeadlineExceeded, match=r"the answer to a .*deadlines\.generate_s"):
        Desk({3: 10_000_000}).run(at_a_time=1, deadline_s=0.01)


def test_the_first_failure_is_raised_itself_and_earlier_answers_are_kept() -> None:
    class Failing(Desk):
        async def ask(self, index: int, prompt: Prompt) -> str:
            if index == 7:
                raise InfrastructureError("no engine")
            return await super().ask(index, prompt)

    desk = Failing()
    with pytest.raises(InfrastructureError, match="no engine"):
        desk.run(at_a_time=1)
    assert desk.kept == [3, 1]


class SlowWorld(Desk):
    """Takes its time, as an environment does."""

    async def ask(self, index: int, prompt: Prompt) -> str:
        await asyncio.sleep(0.3)
        return await super().ask(index, prompt)


def test_the_time_in_an_environment_does_not_count() -> None:
    assert len(SlowWorld().run(at_a_time=3, deadline_s=0.05, world_s=20.0, environment="maze")) == 3
    with pytest.raises(DeadlineExceeded):
        SlowWorld().run(at_a_time=3, deadline_s=0.05, world_s=20.0)


def test_questions_of_several_rounds_are_in_their_environments_one_round_after_the_other() -> None:
    asked = [make_prompt("a"), *(replace(make_prompt(str(i)), environment="maze") for i in range(5))]
    assert longest_in_worlds(asked, at_a_time=2, world_s=10.0) == 3 * 3 * 10.0
    assert longest_in_worlds(asked[:1], at_a_time=2, world_s=10.0) == 0.0
