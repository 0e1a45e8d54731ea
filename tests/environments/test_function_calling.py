from __future__ import annotations

import asyncio
from typing import Any

import pytest

from r1ray.checks import FormatOnly
from r1ray.environments.function_calling import FunctionCalling
from r1ray.errors import UnscorableError
from r1ray.turns import Action, Done, Observation, ToolCall
from r1ray.types import Prompt

TOOLS = '[{"name": "weather", "description": "Tell.", "parameters": {"city": {"type": "str"}}}]'


def prompt(**columns: Any) -> Prompt:
    return Prompt(id="7", text="Weather?", check=FormatOnly(), domain="math", language="en", columns=columns)


def judged(answers: Any, *calls: ToolCall) -> Done:
    async def play() -> Done:
        world = FunctionCalling()
        observation = await world.reset(prompt(tools=TOOLS, answers=answers), 0)
        assert isinstance(observation, Observation) and observation.tools[0]["function"]["name"] == "weather"
        done = await world.step(Action(content="", calls=calls))
        await world.close()
        return done

    return asyncio.run(play())


def call(city: str, *, name: str = "weather", problem: str = "") -> ToolCall:
    return ToolCall(name, {} if problem else {"city": city}, problem=problem)


PARIS, ROME = ({"name": "weather", "arguments": {"city": city}} for city in ("Paris", "Rome"))


@pytest.mark.parametrize(
    ("answers", "calls", "label"),
    [
        ([PARIS], [call("Paris")], "correct"),
        ([PARIS, ROME], [call("Rome"), call("Paris")], "correct"),
        ([], [], "correct"),
        ([PARIS], [], "no_call"),
        ([PARIS], [call("Rome")], "wrong_arguments"),
        ([PARIS], [call("Paris", name="forecast")], "wrong_tool"),
        ([PARIS], [call("Paris"), call("Paris")], "extra_calls"),
        ([], [call("Paris")], "extra_calls"),
        ([PARIS, ROME], [call("Rome")], "missing_calls"),
        ([PARIS], [call("Paris", problem="unclosed")], "malformed"),
        ([PARIS], [call("Paris"), call("Paris", problem="unclosed")], "malformed"),
    ],
)
def test_a_turn_is_paid_for_exactly_the_expected_calls(answers: Any, calls: list[ToolCall], label: str) -> None:
    done = judged(answers, *calls)
    assert (done.label, done.rewards) == (label, {"calls": float(label == "correct")})
    assert done.num_errors == sum(bool(each.problem) for each in calls)


def test_a_row_that_cannot_be_used_says_why_and_is_nobodys_fault() -> None:
    assert FunctionCalling().row_problem(prompt(tools=TOOLS, answers=[PARIS])) is None
    assert "answers" in str(FunctionCalling().row_problem(prompt(tools=TOOLS)))
    assert "tools" in str(FunctionCalling().row_problem(prompt(answers=[])))
    with pytest.raises(UnscorableError, match="row 7"):
        asyncio.run(FunctionCalling().reset(prompt(), 0))
