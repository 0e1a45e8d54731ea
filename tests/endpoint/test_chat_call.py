"""Requests of clients: what is taken from one, and what is refused with a sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1ray.endpoint.chat_call import FREE, ChatCall, chat_call
from r1ray.endpoint.messages import as_messages
from r1ray.endpoint.refusals import Refused

USER = {"role": "user", "content": "go"}
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
CALL = {"id": "a", "type": "function", "function": {"name": "add", "arguments": '{"x": 1}'}}


def of(**fields: Any) -> ChatCall:
    return chat_call(json.dumps({"model": "policy", "messages": [USER]} | fields).encode())


def refusal(body: bytes | None = None, **fields: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        of(**fields) if body is None else chat_call(body)
    assert caught.value.body["error"]["message"] == str(caught.value)
    return caught.value


def test_a_clients_wishes_for_sampling_are_not_followed_but_for_length_and_stops() -> None:
    asked = of(temperature=0.0, top_p=0.1, seed=3, logprobs=True, top_logprobs=5, user="me", max_tokens=9, stop="\n")
    assert asked == of(max_completion_tokens=9, stop=["\n"])
    assert asked.max_tokens == 9 and asked.stop == ("\n",) and not asked.streams
    assert of(max_tokens=9, max_completion_tokens=4).max_tokens == 4 and of(max_tokens=None).max_tokens is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tool_choice", "required"),
        ("tool_choice", {"type": "function", "function": {"name": "add"}}),
        ("response_format", {"type": "json_object"}),
        ("response_format", {"type": "json_schema", "json_schema": {}}),
        ("response_format", 3),
        ("logit_bias", {"3": 100}),
        ("presence_penalty", 0.5),
        ("frequency_penalty", -1),
        ("repetition_penalty", 1.1),
        ("n", 2),
        ("n", "1"),
        ("guided_regex", "a+"),
        ("structured_outputs", {"choice": ["a"]}),
        ("min_tokens", 3),
        ("ignore_eos", True),
        ("functions", [{"name": "f"}]),
        ("continue_final_message", True),
    ],
)
def test_what_constrains_sampling_is_refused_by_its_name(key: str, value: Any) -> None:
    found = refusal(tools=[TOOL], **{key: value})
    assert (found.status, found.code, found.param) == (400, "constrained_sampling", key)
    assert str(found).startswith(f"{key}=") and "leave it out" in str(found)


def test_values_that_constrain_nothing_are_taken() -> None:
    free = {"tool_choice": "auto", "response_format": {"type": "text"}, "logit_bias": {}, "presence_penalty": 0, "n": 1}
    assert of(tools=[TOOL], **free).reads_calls
    assert of(tools=[TOOL], **dict.fromkeys(FREE)).reads_calls
    assert not of(tools=[TOOL], tool_choice="none").reads_calls and not of().reads_calls


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "go"}, "messages"),
        ({"messages": [3]}, "messages[0]"),
        ({"messages": [{"role": "robot", "content": ""}]}, "messages[0].role"),
        ({"messages": [{"role": ["user"], "content": ""}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0]"),
        ({"messages": [USER, {"role": "assistant", "tool_calls": 3}]}, "messages[1].tool_calls"),
        ({"messages": [{"role": "assistant", "tool_calls": [{}]}]}, "messages[0].tool_calls[0]"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": 3}}]}]},
            "messages[0].tool_calls[0].function.name",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[1]"}}]}]},
            "messages[0].tool_calls[0].function.arguments",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}]},
            "messages[0].tool_calls[0].function.arguments",
        ),
        ({"messages": [{"role": "tool", "content": "3", "tool_call_id": 3}]}, "messages[0].tool_call_id"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools[0]"),
        ({"tools": [{"type": "function", "function": {"name": ""}}]}, "tools[0].function.name"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"x": 3}}}}]},
            "tools[0].function.parameters",
        ),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_completion_tokens": 1.5}, "max_completion_tokens"),
        ({"stop": [""]}, "stop"),
        ({"stop": {"a": 1}}, "stop"),
        ({"stop": ["x"] * 17}, "stop"),
        ({"stream": "yes"}, "stream"),
    ],
)
def test_what_is_no_call_is_refused_with_the_place(fields: dict[str, Any], param: str) -> None:
    found = refusal(**fields)
    assert (found.status, found.param) == (400, param) and str(found).startswith(param)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"3", "needs to be an object"),
        (b'{"model": "policy", "messages": NaN}', "NaN is no number"),
        (b'{"model": "\xff"}', "UTF-8"),
        (b'{"model": "policy", "messages": [{"role": "user", "content": "\\ud800"}]}', "lone surrogate"),
        (b'{"a": ' + b"9" * 5000 + b"}", "no JSON"),
    ],
)
def test_a_body_that_is_none_is_refused(body: bytes, said: str) -> None:
    found = refusal(body)
    assert found.status == 400 and said in str(found)


def test_another_model_is_not_there() -> None:
    assert (refusal(model="gpt-4o").status, refusal(model=None).code) == (404, "model_not_found")


def test_deep_schemas_and_arguments_are_refused() -> None:
    deep: Any = {}
    for _ in range(100):
        deep = {"properties": deep}
    assert refusal(tools=[{"type": "function", "function": {"name": "f", "parameters": deep}}]).param == "tools"
    call = CALL | {"function": {"name": "f", "arguments": json.dumps(deep)}}
    assert "arguments" in (refusal(messages=[{"role": "assistant", "tool_calls": [call]}]).param or "")


def test_a_result_has_the_name_and_the_place_of_its_call_in_the_template() -> None:
    two = [CALL, CALL | {"id": "b", "function": {"name": "sub", "arguments": "{}"}}]
    results = [{"role": "tool", "tool_call_id": each, "content": each} for each in ("b", "a", "c")]
    asked = of(messages=[USER, {"role": "assistant", "tool_calls": two}, *results])
    made = as_messages(asked.messages, 1)
    assert [(each.tool, each.call_id) for each in made[1:]] == [("sub", "call00001"), ("add", "call00000"), ("", "")]
    assert made[0].calls[0].arguments == {"x": 1}
    parts = of(
        messages=[{"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]
    )
    assert as_messages(parts.messages)[0].role == "system" and parts.messages[0].content == "ab"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("messages", "tools", "stop", "max_tokens", "stream", "stream_options", "n", "tool_choice", "response_format")


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.sampled_from((*FIELDS, "role", "content", "logit_bias")), JSON), st.lists(JSON, max_size=2))
def test_whatever_comes_is_a_call_or_is_refused(fields: dict[str, Any], messages: list[Any]) -> None:
    body = {"model": "policy", "messages": [*messages, USER]} | fields
    try:
        assert isinstance(chat_call(json.dumps(body).encode()), ChatCall)
    except Refused as refused:
        assert refused.status in (400, 404) and refused.body["error"]["message"]
