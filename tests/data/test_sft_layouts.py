"""Every layout of dialogues, by two rows of its published columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import r1ray
from r1ray.data.checks import MalformedRow, UnusableRow
from r1ray.data.dialogues import RawExample, recognise, unknown_columns
from r1ray.data.messages import flat
from r1ray.data.sft_layouts import EXAMPLES, DialogueLayout
from tests.data.sft_fixtures import FIXTURES

ROWS = [(title, number) for title in FIXTURES for number in (0, 1)]
README = (Path(r1ray.__file__).parent / "data" / "README.md").read_text()


def layout_of(row: dict[str, Any]) -> DialogueLayout:
    layout = recognise(frozenset(row), EXAMPLES)
    assert layout is not None
    return layout


def read(row: dict[str, Any]) -> tuple[list[str], list[str]]:
    (raw,) = layout_of(row).read(row, 1)
    return asked_and_said(raw)


def asked_and_said(raw: RawExample) -> tuple[list[str], list[str]]:
    (dialogue,) = raw.dialogues
    asked = dialogue.question
    questions = [asked] if isinstance(asked, str) else [message["content"] for message in asked]
    return questions, [flat(reply)["content"] for reply in dialogue.replies]


def test_every_layout_has_a_fixture_and_a_line_in_the_readme() -> None:
    assert {layout.title for layout in EXAMPLES} == set(FIXTURES)
    section = README.split("## SFT")[1].split("\n## ")[0]
    assert [layout.title for layout in EXAMPLES if f"| {layout.title} |" not in section] == []


@pytest.mark.parametrize(("title", "number"), ROWS)
def test_published_rows_are_read_as_meant(title: str, number: int) -> None:
    fixture = FIXTURES[title]
    layout, made = layout_of(fixture.rows[0]), fixture.made[number]
    assert layout.title == title
    if isinstance(made, str):
        with pytest.raises(UnusableRow, match=made):
            layout.read(fixture.rows[number], 1)
    else:
        (raw,) = layout.read(fixture.rows[number], 1)
        assert asked_and_said(raw) == made


@pytest.mark.parametrize("column", ["reasoning_content", "reasoning", "thinking", "thoughts", "think"])
def test_a_column_of_reasoning_becomes_the_think_part_of_any_layout(column: str) -> None:
    row = {"instruction": "1+1?", "output": "2", column: "One and one."}
    assert read(row)[1] == ["<think>\nOne and one.\n</think>\n\n2"]
    assert read({"messages": [{"role": "user", "content": "1+1?"}, BOT], column: "One and one."})[1] == [
        "<think>\nOne and one.\n</think>\n\n2"
    ]


BOT = {"role": "assistant", "content": "2"}


@pytest.mark.parametrize("value", ["on", "off", "", None, True, 3, {"effort": "high"}])
def test_a_switch_is_no_reasoning(value: Any) -> None:
    assert read({"input": "1+1?", "output": "2", "reasoning": value})[1] == ["2"]


@pytest.mark.parametrize("answer", ["<think>\nOne.\n</think>\n\n2", "One and one. So 2."])
def test_an_answer_that_has_its_reasoning_gets_it_no_second_time(answer: str) -> None:
    assert read({"input": "1+1?", "output": answer, "reasoning": "One and one."})[1] == [answer]


def test_a_reference_beside_messages_is_no_answer_to_learn() -> None:
    row = {"messages": [{"role": "user", "content": "1+1?"}], "answer": "2", "reasoning": "on"}
    with pytest.raises(UnusableRow, match="messages has no turn of the assistant after a question"):
        read(row)


@pytest.mark.parametrize("answer", [["2"], {"value": "2"}, True])
def test_an_answer_that_is_no_text_is_never_written_as_python_has_it(answer: Any) -> None:
    with pytest.raises(MalformedRow):
        read({"question": "1+1?", "answer": answer})


@pytest.mark.parametrize("column", ["image", "images", "videos", "audio"])
def test_rows_with_images_are_refused_by_name(column: str) -> None:
    row: dict[str, Any] = {"messages": [{"role": "user", "content": "What is it?"}, BOT]}
    assert read(row | {column: []})[1] == ["2"]
    with pytest.raises(MalformedRow, match=f"needs rows without {column}"):
        read(row | {column: ["cat.png"]})


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        (["input_ids", "labels"], "tokens of some tokenizer"),
        (["message_id", "parent_id", "text", "role"], "one message a row"),
        (["text"], "which part of it is the answer"),
    ],
)
def test_columns_that_are_known_not_to_do_are_refused_with_the_reason(columns: list[str], reason: str) -> None:
    assert recognise(frozenset(columns), EXAMPLES) is None
    assert reason in unknown_columns(frozenset(columns), EXAMPLES)
