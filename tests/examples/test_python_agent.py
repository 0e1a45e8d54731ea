"""The questions and dialogues of ``experiment=python_agent``, and the template that shows their model a tool."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from r1ray.conversation import ConversationSettings, check_template, make_renderer
from r1ray.environments.tools.python import schema_of
from r1ray.examples.python_agent import maker
from r1ray.examples.python_agent.task import FAMILIES, SHOWN, sample_questions
from r1ray.examples.smollm2.with_tools import TEMPLATE
from r1ray.turns import Message
from tests.conversation.tokenizers_made import made_tokenizer


def test_the_code_of_every_question_is_worth_its_answer() -> None:
    for question in sample_questions(random.Random(0), "train", 300, families=tuple(FAMILIES)):
        assert eval(question.code) == question.answer, question  # it is ours


def test_questions_come_by_turns_and_are_held_out_in_truth() -> None:
    train, held_out = (
        sample_questions(random.Random(0), split, 240, families=tuple(FAMILIES)) for split in ("train", "eval")
    )
    assert Counter(each.family for each in train) == dict.fromkeys(FAMILIES, 40)
    assert not {each.text for each in train} & {each.text for each in held_out}


def test_half_of_the_cold_start_calls_and_shows_three_families(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maker, "save_model_with_tools", lambda folder: 0)
    maker.make(tmp_path, seed=0, log=lambda text: None)
    dialogues = [json.loads(line) for line in (tmp_path / "cold_start.jsonl").read_text().splitlines()]
    calls = [each["messages"] for each in dialogues if len(each["messages"]) == 4]
    assert len(dialogues) == 96 and 0.35 < len(calls) / 96 < 0.65
    assert {len(each["messages"]) for each in dialogues} == {2, 4}
    for messages in calls:
        code = messages[1]["tool_calls"][0]["function"]["arguments"]["code"]
        assert str(eval(code)) == messages[2]["content"] == messages[3]["content"]
    asked = {row["prompt"]: row["domain"] for row in pq.read_table(tmp_path / "heldout.parquet").to_pylist()}
    assert Counter(asked.values()) == dict.fromkeys(FAMILIES, 10)
    assert not any(messages[0]["content"].startswith(("What is the sum", "How much")) for messages in calls)
    assert set(SHOWN) < set(FAMILIES)


@pytest.mark.parametrize("brief", [True, False])
def test_the_template_shows_tools_takes_calls_and_only_adds(brief: bool) -> None:
    tokenizer = made_tokenizer(TEMPLATE)
    settings = ConversationSettings(model="made", template_arguments={"brief": brief})
    renderer = make_renderer(tokenizer, settings=settings)
    tools = [schema_of([])]
    check_template(tokenizer, tools, settings=settings, renderer=renderer)
    assert renderer.name == "template" and renderer.branches() == []
    said = renderer.decode(renderer.prompt([Message("system", "Be short."), Message("user", "2 + 2?")], tools))
    assert said.startswith("<|im_start|>system\nBe short.\npython(code)")
    assert ("Run Python code" in said) is not brief
    assert said.endswith("<|im_start|>user\n2 + 2?<|im_end|>\n<|im_start|>assistant\n")
    alone = renderer.decode(renderer.prompt([Message("system", "Be short."), Message("user", "2 + 2?")], ()))
    assert alone.startswith("<|im_start|>system\nBe short.<|im_end|>\n<|im_start|>user")
