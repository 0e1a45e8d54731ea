from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from r1ray.checks import FormatOnly
from r1ray.environments.json_output import JsonOutput, answer_of
from r1ray.errors import UnscorableError
from r1ray.turns import Action, Done, Message
from r1ray.types import Prompt

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}


def prompt(*messages: Message, **columns: Any) -> Prompt:
    return Prompt(
        id="7", text="Count.", check=FormatOnly(), domain="math", language="en", columns=columns, messages=messages
    )


def judged(content: str, schema: Any = SCHEMA) -> Done:
    async def play() -> Done:
        world = JsonOutput()
        await world.reset(prompt(schema=schema), 0)
        done = await world.step(Action(content=content))
        await world.close()
        return done

    return asyncio.run(play())


@pytest.mark.parametrize(
    ("content", "label"),
    [
        ('{"n": 3}', "valid"),
        (' \n{"n": 3.0}\n', "valid"),
        ('```json\n{"n": 3}\n```', "valid"),
        ('```\n{"n": 3}\n```', "valid"),
        ('<think>{"m": 1}</think>{"n": 3}', "valid"),
        ('<think>x</think><answer>{"n": 3}</answer>', "valid"),
        ('{"n": "3"}', "invalid"),
        ('{"n": 3, "m": 4}', "invalid"),
        ('{"n": NaN}', "invalid"),
        ("[]", "invalid"),
        ('{"n": 3, "n": 3}', "no_json"),
        ('Here it is: {"n": 3}', "no_json"),
        ('{"n": 3} {"n": 3}', "no_json"),
        ('{"n": "\\ud800"}', "no_json"),
        ("", "no_json"),
        ('<think>{"n": 3}', "no_json"),
        ("[" * 100_000, "no_json"),
        ("1" * 1_000_001, "no_json"),
        ("{" + '"n":' + "1" * 10_000 + "}", "valid"),
    ],
    ids=lambda value: value[:30],
)
def test_a_turn_is_paid_for_json_of_the_schema(content: str, label: str) -> None:
    began = time.monotonic()
    done = judged(content)
    assert (done.label, done.rewards) == (label, {"json": float(label == "valid")})
    assert label == "valid" or done.detail
    assert time.monotonic() - began < 20


def test_a_pattern_without_end_is_no_way_to_be_paid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("r1ray.environments.tools.json_schema.PATTERN_S", 0.01)
    assert judged(json.dumps("a" * 5000 + "!"), {"pattern": "^(a|a)*$"}).label == "invalid"


def test_the_model_is_told_the_schema_unless_the_prompt_does() -> None:
    async def asked(world: JsonOutput, *messages: Message) -> tuple[Message, ...]:
        return (await world.reset(prompt(*messages, schema=json.dumps(SCHEMA)), 0)).messages

    user = Message("user", "Count.")
    told, alone = asyncio.run(asked(JsonOutput())), asyncio.run(asked(JsonOutput(show_schema=False)))
    assert alone == (user,) and told[1] == user
    assert told[0].role == "system" and json.dumps(SCHEMA) in told[0].content
    (system, last) = asyncio.run(asked(JsonOutput(), Message("system", "Be brief."), user))
    assert system.content.startswith("Be brief.\n\nAnswer with JSON") and last == user


@pytest.mark.parametrize("schema", [None, "{", {"type": "whole"}, {"$ref": "http://example.com/x"}, "3"])
def test_a_row_that_cannot_be_used_says_why_and_is_nobodys_fault(schema: Any) -> None:
    assert JsonOutput().row_problem(prompt(schema=SCHEMA)) is None
    assert JsonOutput().row_problem(prompt(schema=schema))
    with pytest.raises(UnscorableError, match="row 7"):
        asyncio.run(JsonOutput().reset(prompt(schema=schema), 0))


def test_a_fence_in_the_middle_is_no_answer() -> None:
    assert answer_of('It is\n```json\n{"n": 3}\n```').startswith("It is")
