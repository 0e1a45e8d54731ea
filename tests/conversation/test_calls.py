"""Calls in the forms that templates have: well-formed ones are read, and of others it is said what is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1ray.conversation.calls import MAX_CALLS, CallForm
from r1ray.conversation.json_calls import JsonCalls, NamedJsonCalls
from r1ray.conversation.python_calls import PythonCalls
from r1ray.conversation.quoted_calls import QuotedCalls
from r1ray.conversation.tagged_calls import TaggedCalls
from tests.conversation.tokenizers_made import CALCULATOR

HERMES = JsonCalls("<tool_call>", "</tool_call>")
LISTED = JsonCalls("[TOOL_CALLS]", "")
BARE = JsonCalls("", "", "name", "parameters")
NAMED = NamedJsonCalls("[CALL]", "[ARGS]", "[/CALL]")
QWEN_35 = TaggedCalls(
    "<tool_call>", "<function=", ">", "<parameter=", ">", "</parameter>", "</function>", "</tool_call>"
)
GLM = TaggedCalls("<tool_call>", "", "", "<arg_key>", "</arg_key>\n<arg_value>", "</arg_value>", "", "</tool_call>")
PYTHON = PythonCalls("<|tool_call_start|>", "<|tool_call_end|>")
GEMMA = QuotedCalls("<|tool_call>", "call:", '<|"|>', "<tool_call|>")
ARGUMENTS = {"expression": "2+2", "digits": 3}
WRITTEN: list[tuple[CallForm, str]] = [
    (HERMES, 'I see.\n<tool_call>{"name":"calculator","arguments":{"expression":"2+2","digits":3}}</tool_call>'),
    (LISTED, 'I see.[TOOL_CALLS] [{"name": "calculator", "arguments": {"expression": "2+2", "digits": 3}}]'),
    (BARE, '{"name": "calculator", "parameters": {"expression": "2+2", "digits": 3}}'),
    (NAMED, 'I see.[CALL]calculator[ARGS]{"expression": "2+2", "digits": 3}[/CALL]'),
    (
        QWEN_35,
        "I see.<tool_call>\n<function=calculator>\n<parameter=expression>\n2+2\n</parameter>\n<parameter=digits>\n3\n"
        "</parameter>\n</function>\n</tool_call>",
    ),
    (
        GLM,
        "I see.<tool_call>calculator\n<arg_key>expression</arg_key>\n<arg_value>2+2</arg_value>\n"
        "<arg_key>digits</arg_key>\n<arg_value>3</arg_value>\n</tool_call>",
    ),
    (GEMMA, 'I see.<|tool_call>call:calculator{expression:<|"|>2+2<|"|>,digits:3}<tool_call|>'),
    (PYTHON, "I see.<|tool_call_start|>[calculator(expression='2+2', digits=3)]<|tool_call_end|>"),
]


@pytest.mark.parametrize(("form", "text"), WRITTEN)
def test_a_call_is_read_with_its_arguments(form: CallForm, text: str) -> None:
    content, (call,) = form.read(text, [CALCULATOR])
    assert (call.name, call.arguments, call.problem) == ("calculator", ARGUMENTS, "")
    assert content.strip() == ("I see." if text.startswith("I see.") else "") and call.text in text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('<tool_call>{"name": "f", "arguments": {}}', "not closed by </tool_call>"),
        ('<tool_call>{"name": "f", "arguments": {}</tool_call>', "no valid JSON"),
        ('<tool_call>{"arguments": {}}</tool_call>', 'needs "name"'),
        ('<tool_call>{"name": 7}</tool_call>', 'needs "name"'),
        ('<tool_call>{"name": "f", "arguments": "{}"}</tool_call>', "arguments are no object"),
        ('<tool_call>{"name": "f", "arguments": [1]}</tool_call>', "arguments are no object"),
        ("<tool_call>7</tool_call>", "it is no object"),
        ("<tool_call></tool_call>", "no valid JSON"),
        ('<tool_call>{"name": "f", "arguments": {"a": NaN}}</tool_call>', "no number of JSON"),
        ('<tool_call>{"name": "f", "name": "g"}</tool_call>', "twice"),
        ("<tool_call>" + "[" * 100_000 + "</tool_call>", "no valid JSON"),
        ('<tool_call>{"name": "f", "arguments": {"a": ' + "9" * 5000 + "}}</tool_call>", "no valid JSON"),
    ],
)
def test_a_malformed_call_says_what_is_wrong_with_it(text: str, problem: str) -> None:
    content, (call,) = HERMES.read(f"Well. {text}", [])
    assert content == "Well. " and problem in call.problem
    assert call.problem.startswith("The call is malformed: ") and call.text == text


@pytest.mark.parametrize(
    ("form", "text", "problem"),
    [
        (NAMED, "[CALL]f{}[/CALL]", "no [ARGS] follows"),
        (NAMED, "[CALL]f[ARGS]{]}[/CALL]", "no valid JSON"),
        (NAMED, "[CALL][ARGS]{}[/CALL]", "names no tool"),
        (QWEN_35, "<tool_call>\n<parameter=a>1</parameter></tool_call>", "<function=NAME> is missing"),
        (QWEN_35, "<tool_call><function=f><parameter=a>1</function></tool_call>", "not closed by </parameter>"),
        (QWEN_35, "<tool_call><function=f>a=1</function></tool_call>", "no argument"),
        (GLM, "<tool_call>f<arg_key>a</arg_key></tool_call>", "not closed"),
        (GEMMA, "<|tool_call>call:f<tool_call|>", "no {...} follows"),
        (GEMMA, "<|tool_call>call:f{a:b}<tool_call|>", "no object"),
        (GEMMA, '<|tool_call>call:f{a:<|"|>b}<tool_call|>', "not closed"),
        (PYTHON, "<|tool_call_start|>[f(1)]<|tool_call_end|>", "key=value"),
        (PYTHON, "<|tool_call_start|>[f(a=g())]<|tool_call_end|>", "plain values"),
        (PYTHON, "<|tool_call_start|>f(<|tool_call_end|>", "no list"),
        (PYTHON, "<|tool_call_start|>[f(a=" + "-" * 5000 + "1)]<|tool_call_end|>", "too deep"),
        (PYTHON, "<|tool_call_start|>[f(a=" + "(" * 300 + ")]<|tool_call_end|>", "too deep"),
    ],
)
def test_other_forms_say_it_too(form: CallForm, text: str, problem: str) -> None:
    _, (call,) = form.read(text, [])
    assert problem in call.problem


def test_a_string_in_a_call_may_spell_the_closing_mark() -> None:
    content, (call,) = HERMES.read('<tool_call>{"name": "f", "arguments": {"a": "</tool_call>"}}</tool_call>!', [])
    assert (call.arguments, content) == ({"a": "</tool_call>"}, "!")


def test_values_between_quotes_of_a_templates_own_may_be_nested_and_spell_anything() -> None:
    written = '<|tool_call>call:f{a:{b:[<|"|>x,y:"<tool_call|><|"|>,true]},c:null}<tool_call|>'
    _, (call,) = GEMMA.read(written, [])
    assert call.arguments == {"a": {"b": ['x,y:"<tool_call|>', True]}, "c": None}


def test_several_calls_keep_their_order_with_malformed_ones_among_them() -> None:
    good = '<tool_call>{"name": "%s", "arguments": {}}</tool_call>'
    _, calls = HERMES.read(f"{good % 'a'}<tool_call>b{good % 'c'}", [])
    assert [(call.name, bool(call.problem)) for call in calls] == [("a", False), ("", True), ("c", False)]
    _, calls = HERMES.read(good % "a" * (MAX_CALLS + 9), [])
    assert len(calls) == MAX_CALLS + 1 and "at most" in calls[-1].problem


def test_text_where_the_schema_wants_text_stays_text() -> None:
    written = "<tool_call><function=calculator><parameter=expression>\n7\n\n</parameter></function></tool_call>"
    _, (call,) = QWEN_35.read(written, [CALCULATOR])
    assert call.arguments == {"expression": "7\n"}
    _, (call,) = QWEN_35.read(written, [])
    assert call.arguments == {"expression": 7}


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.text(max_size=6), st.text(max_size=8) | st.integers() | st.lists(st.none()), max_size=3))
def test_any_arguments_come_back_as_they_were_written(arguments: dict[str, Any]) -> None:
    written = json.dumps({"name": "f", "arguments": arguments})
    _, (call,) = HERMES.read(f"<tool_call>\n{written}\n</tool_call>", [])
    assert call.arguments == arguments


PIECES = (
    *("<tool_call>", "</tool_call>", "<|tool_call_start|>", "<|tool_call_end|>", "[CALL]", "[ARGS]", "[/CALL]"),
    *("<function=", ">", "<parameter=", "</parameter>", "</function>", "<arg_key>", "</arg_key>", "<arg_value>"),
    *("{", "}", '"name":', '"f"', ",", "f(", ")", "[", "]", "a=", "'", "1", "\n", "\\", "\0"),
)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([form for form, _ in WRITTEN]), st.lists(st.sampled_from(PIECES), max_size=24))
def test_no_text_makes_a_reader_fail_or_lose_a_problem(form: CallForm, pieces: list[str]) -> None:
    _, calls = form.read("".join(pieces), [CALCULATOR])
    assert all(call.problem or call.name for call in calls)
