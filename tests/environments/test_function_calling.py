from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from r1ray.checks import FormatOnly
from r1ray.data.own_columns import OwnColumns
from r1ray.data.prompt_rows import spool_prompts
from r1ray.data.prompts import PromptTable
from r1ray.data.template import Form
from r1ray.environments.function_calling import FunctionCalling
from r1ray.errors import UnscorableError
from r1ray.turns import Action, Done, Message, Observation, ToolCall
from r1ray.types import Prompt
from tests.data.prompt_files import jsonl

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


BFCL = [{"name": "weather", "description": "Tell.", "parameters": {"type": "dict", "properties": {}}}]


@pytest.mark.parametrize(
    "row",
    [
        {"id": 0, "query": "Weather?", "tools": TOOLS, "answers": json.dumps([PARIS])},
        {"messages": [{"role": "user", "content": "Weather?"}], "tools": json.loads(TOOLS), "answers": [PARIS]},
        {
            "query": [{"role": "user", "content": "Weather?"}],
            "function": BFCL,
            "ground_truth": [{"weather": {"city": ["Paris"]}}],
        },
    ],
    ids=["xLAM", "messages", "BFCL"],
)
def test_rows_of_published_forms_are_read_and_judged(tmp_path: Path, row: dict[str, Any]) -> None:
    columns = OwnColumns(environment="function_calling")
    spool_prompts(jsonl(tmp_path / "f.jsonl", [row]), tmp_path / "s.arrow", key="data.train", columns=columns)
    read = PromptTable(tmp_path / "s.arrow", str, Form("none"))[0]
    assert read.messages == (Message("user", "Weather?"),)

    async def play() -> Done:
        world = FunctionCalling()
        assert world.row_problem(read) is None
        await world.reset(read, 0)
        return await world.step(Action(content="", calls=(call("Paris"),)))

    assert asyncio.run(play()).label == "correct"
