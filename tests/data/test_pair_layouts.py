"""Every layout of preferences, by two rows of its published columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import r1ray
from r1ray.data.checks import MalformedRow, UnusableRow
from r1ray.data.dialogues import Layout, RawExample, joined, recognise, unknown_columns
from r1ray.data.pair_layouts import PAIRS
from tests.data.pair_fixtures import FIXTURES

README = (Path(r1ray.__file__).parent / "data" / "README.md").read_text()
ROWS = [(title, number) for title, fixture in FIXTURES.items() for number in range(len(fixture.made))]


def layout_of(row: dict[str, Any]) -> Layout:
    layout = recognise(frozenset(row), PAIRS)
    assert layout is not None
    return layout


def read(*rows: dict[str, Any]) -> list[RawExample]:
    layout = layout_of(rows[0])
    return [raw for number, row in joined(enumerate(rows, 1), layout) for raw in layout.read(row, number)]


def shown(raws: list[RawExample]) -> tuple[list[str], list[tuple[str, ...]]]:
    """Return the question, and by pair the better answer and the other."""
    asked = raws[0].dialogues[0].question
    assert all(dialogue.question == asked for raw in raws for dialogue in raw.dialogues)
    questions = [asked] if isinstance(asked, str) else [message["content"] for message in asked]
    return questions, [tuple(dialogue.replies[-1]["content"] for dialogue in raw.dialogues) for raw in raws]


def test_every_layout_has_a_fixture_and_a_line_in_the_readme() -> None:
    titles = [layout.name.split(" (")[0] for layout in PAIRS]
    assert sorted(titles) == sorted(FIXTURES)
    section = README.split("## Preference")[1].split("\n## ")[0]
    assert [title for title in titles if f"| {title} |" not in section] == []


@pytest.mark.parametrize(("title", "number"), ROWS)
def test_published_rows_are_read_as_meant(title: str, number: int) -> None:
    fixture = FIXTURES[title]
    layout, made = layout_of(fixture.rows[0]), fixture.made[number]
    assert layout.name.startswith(f"{title} (")
    rows = fixture.rows if len(fixture.made) == 1 else fixture.rows[number : number + 1]
    numbered = list(joined(enumerate(rows, 1), layout))
    if isinstance(made, str):
        with pytest.raises((UnusableRow, MalformedRow), match=made):
            layout.read(numbered[0][1], 1)
    else:
        raws = [raw for number, row in numbered for raw in layout.read(row, number)]
        assert shown(raws) == made
        assert {raw.margin for raw in raws} == {0.0}


def test_rows_are_read_together_only_where_they_have_one_prompt() -> None:
    rated = {"correctness": 4, "coherence": 4}
    rows = [
        {"prompt": "a", "response": "1", "helpfulness": 1, **rated},
        {"prompt": "a", "response": "3", "helpfulness": 3, **rated},
        {"prompt": "a", "response": "2", "helpfulness": 2, **rated},
        {"prompt": "b", "response": "1", "helpfulness": 1, **rated},
        {"prompt": "b", "response": "4", "helpfulness": 4, **rated},
    ]
    raws = read(*rows)
    assert [raw.id for raw in raws] == ["row 1#1", "row 1#2", "row 4#1"]
    assert [tuple(d.replies[0]["content"] for d in raw.dialogues) for raw in raws] == [
        ("3", "2"),
        ("2", "1"),
        ("4", "1"),
    ]


@pytest.mark.parametrize(
    ("column", "value"), [("better_response_id", None), ("better_response_id", "1"), ("better_response_id", 2)]
)
def test_a_verdict_that_does_not_say_which_answer_is_better_is_malformed(column: str, value: Any) -> None:
    with pytest.raises(MalformedRow, match=f"{column} does not say which answer is better"):
        read({"prompt": "q", "response_0": "a", "response_1": "b", column: value})


def test_answers_that_are_json_text_are_the_messages_that_it_says() -> None:
    user = {"role": "user", "content": "q"}
    texts = [json.dumps([user, {"role": "assistant", "content": word}]) for word in "ab"]
    assert shown(read({"prompt": "q", "chosen": texts[0], "rejected": texts[1]})) == (["q"], [("a", "b")])
    assert shown(read({"chosen": texts[0], "rejected": texts[1]})) == (["q"], [("a", "b")])


def test_a_prompt_that_is_a_transcript_is_its_messages() -> None:
    row = {"prompt": "\n\nHuman: a\n\nAssistant: A\n\nHuman: b\n\nAssistant:", "chosen": "x", "rejected": "y"}
    (raw,) = read(row)
    asked = raw.dialogues[0].question
    assert isinstance(asked, list) and [m["role"] for m in asked] == ["user", "assistant", "user"]


def test_single_answers_with_labels_are_refused_with_the_reason() -> None:
    columns = frozenset(["prompt", "completion", "label"])
    assert recognise(columns, PAIRS) is None
    assert "as for KTO, are no pairs" in unknown_columns(columns, PAIRS)
