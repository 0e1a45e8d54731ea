"""Prompts in the ways in which a model is asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from r1ray.checks import CodeTests, FormatOnly, MathAnswer, StdioCase
from r1ray.config import CollectConfig
from r1ray.data.layouts import RawPrompt
from r1ray.data.template import Form
from r1ray.errors import UserError
from r1ray.evaluation.records import Answered, Sample, to_json
from r1ray.stages.collect.questions import Question, questions_of, text_of

PROMPTS = [
    RawPrompt("sum", "What is 2 + 3?", MathAnswer("5"), "maths", "en"),
    RawPrompt("chat", "How are you?", FormatOnly(), "talk", "en"),
    RawPrompt("code", "Print 1.", CodeTests(language="python", cases=(StdioCase("", "1"),)), "programs", "en"),
]


def made(**settings: Any) -> list[Question]:
    return questions_of(PROMPTS, CollectConfig(**settings), render=str, form=Form("chat"))


def answers(folder: Path) -> Path:
    """The folder of another collection, in which the sum alone has right responses."""
    rows = [
        ("sum/plain", [("a long way to 5", 9, 1.0), ("5", 2, 1.0), ("6", 1, 0.0)]),
        ("chat/plain", [("no", 1, 0.0)]),
    ]
    lines = []
    for number, (name, texts) in enumerate(rows):
        samples = tuple(
            Sample(text=text, num_tokens=n, is_truncated=False, extracted=None, value=v, metrics={}, detail="")
            for text, n, v in texts
        )
        answered = Answered(id=name, groups={}, num_prompt_tokens=1, samples=samples, classes=None)
        lines.append(json.dumps({"number": number, **to_json(answered)}) + "\n")
    (folder / "samples.jsonl").write_text("".join(lines))
    return folder / "dataset"


def test_every_prompt_is_asked_in_every_way() -> None:
    questions = made(ways=["plain", "direct"])
    assert [question.prompt.id for question in questions] == [
        f"{raw.id}/{way}" for raw in PROMPTS for way in ("plain", "direct")
    ]
    assert [question.raw for question in questions[::2]] == PROMPTS
    assert all(question.prompt.check == question.raw.check for question in questions)


def test_an_answer_is_asked_for_as_its_check_reads_it() -> None:
    maths, talk, program = (question.prompt.text for question in made(ways=["direct"]))
    assert "boxed" in maths and "boxed" not in talk and "code block" in program


def test_only_prompts_with_a_right_response_are_rewritten_and_the_shortest_is_shown(tmp_path: Path) -> None:
    (question,) = made(ways=["rewrite"], responses=str(answers(tmp_path)))
    assert question.prompt.id == "sum/rewrite"
    assert "5" in question.prompt.text and "a long way" not in question.prompt.text


def test_without_any_right_response_there_is_nothing_to_ask(tmp_path: Path) -> None:
    (tmp_path / "samples.jsonl").write_text("")
    with pytest.raises(UserError, match=r"collect\.responses=.*: has no right response to any prompt"):
        made(ways=["rewrite"], responses=str(tmp_path / "dataset"))
    with pytest.raises(UserError, match=r"samples\.jsonl is not there; needs what recipe=collect made"):
        made(ways=["rewrite"], responses=str(tmp_path / "nowhere" / "dataset"))


def test_examples_are_shown_as_many_as_are_asked_for_and_in_that_way_alone(tmp_path: Path) -> None:
    path = tmp_path / "examples.jsonl"
    rows = [{"prompt": f"question {n}", "reasoning": f"thought {n}", "summary": f"end {n}"} for n in range(3)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    shown, plain = made(ways=["few_shot", "plain"], examples=str(path), num_examples=2)[:2]
    assert [f"thought {n}" in shown.prompt.text for n in range(3)] == [True, True, False]
    assert "thought" not in plain.prompt.text
    path.write_text(json.dumps({"prompt": "question", "summary": "end"}) + "\n")
    with pytest.raises(UserError, match=r"collect\.examples=.*: row 1 has no reasoning"):
        made(ways=["few_shot"], examples=str(path))


def test_a_dialogue_is_one_text() -> None:
    said = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]
    assert text_of(RawPrompt("d", said, FormatOnly(), "", "")) == "one\ntwo"


def test_in_an_environment_a_prompt_is_asked_as_it_is() -> None:
    raw = RawPrompt("maze", "Where to?", FormatOnly(), "talk", "en", environment="maze")
    form = Form("chat", suffix="Think.")
    (found,) = questions_of([raw], CollectConfig(), render=str, form=form)
    assert found.prompt.environment == "maze" and found.prompt.messages == form.messages("Where to?")
    with pytest.raises(UserError, match=r"collect\.ways=.*prompt maze is in the environment maze"):
        questions_of([*PROMPTS, raw], CollectConfig(ways=["plain", "direct"]), render=str, form=form)
