"""Messages of the forms that data sets have."""

from __future__ import annotations

import json
from typing import Any

import pytest

from r1ray.data.checks import MalformedRow, UnusableRow
from r1ray.data.messages import flat, messages_of, question_of, with_reasoning
from r1ray.data.tool_calls import tools_of

CALL = {"name": "weather", "arguments": {"city": "Oslo"}}
AS_TEMPLATES_TAKE_IT = [{"type": "function", "function": CALL}]


def one(message: dict[str, Any]) -> dict[str, str]:
    (found,) = messages_of([message], "messages")
    return found


@pytest.mark.parametrize(
    ("said", "role"),
    [
        ("human", "user"),
        ("gpt", "assistant"),
        ("chatgpt", "assistant"),
        ("model", "assistant"),
        ("observation", "tool"),
        ("system", "system"),
        ("critic", "critic"),
    ],
)
def test_roles_have_one_name(said: str, role: str) -> None:
    assert one({"from": said, "value": "x"}) == {"role": role, "content": "x"}
    assert one({"role": said, "content": "x"}) == {"role": role, "content": "x"}


def test_messages_may_be_json_text_or_one_message() -> None:
    message = {"role": "user", "content": "x"}
    assert messages_of(json.dumps([message]), "m") == messages_of(message, "m") == [message]


def test_parts_are_one_text_and_their_reasoning_is_kept() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "image_url": None}, "c"]
    assert one({"role": "user", "content": parts}) == {"role": "user", "content": "a\nb\nc"}
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "why"}]}
    assert one({"role": "assistant", "content": [thought, {"type": "text", "text": "a"}]}) == {
        "role": "assistant",
        "content": "a",
        "reasoning_content": "why",
    }


@pytest.mark.parametrize("kind", ["image_url", "image", "input_audio", "video"])
def test_parts_that_are_images_are_refused_by_name(kind: str) -> None:
    with pytest.raises(MalformedRow, match=f"a part of type {kind}"):
        one({"role": "user", "content": [{"type": "text", "text": "What is it?"}, {"type": kind, kind: {"url": "x"}}]})


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"role": "user", "content": None}, "a message of the role user has no content"),
        ({"role": "assistant", "content": [{"type": "tool_use", "name": "f"}]}, "a part of type tool_use"),
    ],
)
def test_messages_that_cannot_be_shown_are_left_out(message: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnusableRow, match=reason):
        one(message)


@pytest.mark.parametrize("message", ["x", {}, {"role": "user"}, {"content": "x"}, {"role": 1, "content": "x"}])
def test_what_is_no_message_is_malformed(message: Any) -> None:
    with pytest.raises(MalformedRow, match="needs messages with a role and a text each"):
        messages_of([message], "messages")


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": None, "tool_calls": [{"id": None, "type": "function", "function": CALL}]},
        {"role": "assistant", "content": "", "tool_calls": [{"function": CALL | {"arguments": '{"city": "Oslo"}'}}]},
        {"role": "assistant", "tool_calls": [CALL | {"arguments": {"city": "Oslo", "unit": None}}]},
        {"role": "assistant", "content": None, "function_call": CALL},
        {"from": "function_call", "value": json.dumps(CALL)},
        {"role": "assistant", "content": "", "tool_calls": json.dumps([{"function": CALL}])},
    ],
)
def test_tool_calls_of_every_form_are_the_same(message: dict[str, Any]) -> None:
    found = one(message)
    assert json.loads(found.pop("tool_calls")) == AS_TEMPLATES_TAKE_IT
    assert found == {"role": "assistant", "content": ""}


def test_a_call_keeps_its_id() -> None:
    found = one({"role": "assistant", "content": "", "tool_calls": [{"id": "a1", "function": CALL}]})
    assert json.loads(found["tool_calls"]) == [{"type": "function", "id": "a1", "function": CALL}]


@pytest.mark.parametrize("calls", [None, [], [None], "x", {"name": 1}])
def test_what_calls_no_tool_is_no_tool_call(calls: Any) -> None:
    assert "tool_calls" not in one({"role": "assistant", "content": "a", "tool_calls": calls})


def test_a_tools_reply_keeps_its_names() -> None:
    reply = {"role": "tool", "content": "sunny", "name": "weather", "tool_call_id": "1"}
    assert one(reply) == reply
    assert one({**reply, "role": "user"}) == {"role": "user", "content": "sunny"}


def test_tools_of_every_form_are_the_same() -> None:
    described = [{"type": "function", "function": {"name": "f"}}]
    for tools in ([{"name": "f", "parameters": None}], described, json.dumps(described)):
        assert json.loads(tools_of({"tools": tools})) == described


@pytest.mark.parametrize("tools", [None, "", "[]", []])
def test_no_tools_are_none(tools: Any) -> None:
    assert tools_of({"tools": tools}) == ""


def test_tools_that_are_prose_are_left_out() -> None:
    with pytest.raises(UnusableRow, match="no list of descriptions"):
        tools_of({"tools": "You may call f."})


def test_reasoning_is_written_before_the_answer() -> None:
    answer = with_reasoning({"role": "assistant", "content": "2"}, "One and one.")
    assert flat(answer) == {"role": "assistant", "content": "<think>\nOne and one.\n</think>\n\n2"}


def test_tool_calls_cannot_be_written_without_a_template() -> None:
    with pytest.raises(UnusableRow, match=r"data\.template=chat"):
        flat(one({"role": "assistant", "content": "", "tool_calls": [{"function": CALL}]}))


@pytest.mark.parametrize("value", ["", " ", "-", None])
def test_a_question_of_nothing_is_left_out(value: Any) -> None:
    with pytest.raises(UnusableRow, match="input is empty"):
        question_of(value, "input")


def test_a_question_that_is_a_list_in_json_but_no_messages_is_a_text() -> None:
    assert question_of('[{"x": 1}]', "q") == '[{"x": 1}]'
