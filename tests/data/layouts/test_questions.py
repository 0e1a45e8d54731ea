"""Questions: text, messages and JSON text of them; images, and what else would be lost, is refused."""

from __future__ import annotations

from typing import Any

import pytest

from r1ray.data.checks import MalformedRow, UnusableRow
from r1ray.data.layouts import recognise
from r1ray.data.layouts.questions import question_of

USER = {"role": "user", "content": "1+1?"}


@pytest.mark.parametrize(
    ("value", "question"),
    [
        ("1+1?", "1+1?"),
        ([USER], [USER]),
        ('[{"role": "user", "content": "1+1?"}]', [USER]),
        ("[{'role': 'user', 'content': '1+1?'}]", [USER]),
        ([{"role": "user", "content": [{"type": "text", "text": "1+"}, {"type": "text", "text": "1?"}]}], [USER]),
        ([{**USER, "tool_calls": None, "name": None}], [USER]),
        ("[1, 2, 3] is a list. Sum?", "[1, 2, 3] is a list. Sum?"),
        ("{x} is a set. Size?", "{x} is a set. Size?"),
    ],
)
def test_a_question_is_read(value: Any, question: Any) -> None:
    assert question_of(value) == question


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "prompt needs a string or chat messages"),
        (3, "prompt needs a string or chat messages, found 3"),
        ({"text": "1+1?"}, r"prompt needs a string or chat messages, found an object \(text\)"),
        (["1+1?"], "prompt is a list, but not of"),
        ('{"text": "1+1?"}', r"prompt is the text of an object \(text\)"),
        ([{"role": "user", "content": None}], "prompt is a list, but not of"),
        ([USER, {"role": "assistant", "content": "2"}], "the last message of prompt is the assistant's"),
        ([{**USER, "tool_calls": [{"function": {"name": "f"}}]}, USER], "has tool calls"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}], "a part of type 'image_url'"),
    ],
)
def test_what_is_no_question_is_refused(value: Any, reason: str) -> None:
    with pytest.raises(MalformedRow, match=reason):
        question_of(value)


@pytest.mark.parametrize(
    "text",
    ["<image>Find x.", "See ![](https://cdn.mathpix.com/a.jpg)", "Look: <|image_pad|>", "[img]https://a.png[/img]"],
)
def test_a_question_that_shows_an_image_is_set_aside(text: str) -> None:
    for value in (text, [{"role": "user", "content": text}]):
        with pytest.raises(UnusableRow, match="shows an image"):
            question_of(value)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("images", [{"bytes": b"\x89PNG", "path": None}]),
        ("image", "figures/1.png"),
        ("Image", {"bytes": None, "path": "1.png"}),
        ("decoded_image", b"\x89PNG"),
        ("image_1", "data:image/png;base64,AA"),
        ("figure", "f.png"),
        ("multi_modal_data", {"image": [b"\x89PNG"]}),
        ("audio", {"bytes": b"RIFF", "path": "a.wav"}),
        ("picture_of_it", b"\x89PNG"),
    ],
)
def test_a_row_with_an_image_is_refused_by_name(column: str, value: Any) -> None:
    row = {"problem": "Find x.", "answer": "3", column: value}
    layout = recognise(row)
    assert layout is not None
    with pytest.raises(MalformedRow, match=f"the column {column.lower()} holds an image"):
        layout.read(row, 0)


@pytest.mark.parametrize("value", [None, [], "", {"bytes": None, "path": None}, [None]])
def test_a_row_whose_column_of_images_is_empty_is_read(value: Any) -> None:
    row = {"problem": "Find x.", "answer": "3", "images": value}
    layout = recognise(row)
    assert layout is not None and layout.read(row, 0).question == "Find x."


def test_what_the_question_is_about_goes_before_it() -> None:
    row = {"context": "A line has 3 points.", "question": "How many pairs?", "final_answer": ["3"]}
    layout = recognise(row)
    assert layout is not None and layout.read(row, 0).question == "A line has 3 points.\n\nHow many pairs?"
