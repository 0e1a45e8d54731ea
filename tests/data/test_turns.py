"""Dialogues through chat templates: what is in the loss, and what no template may lose."""

from __future__ import annotations

import json
from typing import Any

import pytest

from r1ray.data.checks import UnusableRow
from r1ray.data.dialogues import Dialogue
from r1ray.data.sft_layouts import EXAMPLES
from r1ray.data.turns import DialogueEncoder
from tests.data.test_sft_rows import CHATML, REASONING, make_tokenizer

LOOP = "{% for m in messages %}<|{{ m.role }}|>"
CALLS = "{{ m.content }}{% for c in m.tool_calls %}{% set f = c.function %}"
END = "<eos>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
QWEN = (  # as Qwen3's: reasoning after the last question is shown, calls are JSON
    "{% set ns = namespace(last=0) %}"
    "{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
    "{% if tools %}<|tools|>{% for t in tools %}{{ t | tojson }}{% endfor %}{% endif %}" + LOOP +
    "{% if m.reasoning_content is defined and loop.index0 > ns.last %}"
    "<think>\n{{ m.reasoning_content }}\n</think>\n\n{% endif %}" + CALLS +
    '<call>{"name": "{{ f.name }}", "arguments": {{ f.arguments | tojson }}}</call>{% endfor %}' + END
)  # fmt: skip
GPT_OSS = LOOP + "{% if m.thinking %}<|analysis|>{{ m.thinking }}<|end|>{% endif %}<|final|>{{ m.content }}" + END
TEXT_ARGUMENTS = LOOP + CALLS + "{{ f.name + ':' + f.arguments }}{% endfor %}" + END
"""Like DeepSeek-R1's: arguments are added to a text."""
PLAIN_ARGUMENTS = LOOP + CALLS + "{{ f.name }}:{{ f.arguments }}{% endfor %}" + END
NO_TOOL_ROLE = LOOP.replace("%}<|", "%}{% if m.role != 'tool' %}<|", 1) + "{{ m.content }}{% endif %}" + END

USER, BOT = {"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "2"}
THOUGHT = {**BOT, "reasoning_content": "One and one."}
WEATHER = {"name": "weather", "arguments": '{"city": "Oslo"}'}
CALLING: list[dict[str, Any]] = [
    {"role": "user", "content": "Weather?"},
    {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": WEATHER}]},
    {"role": "tool", "content": 'It\'s "sunny".'},
    {"role": "assistant", "content": "It is sunny."},
]
TOOLS = json.dumps([{"name": "weather", "description": "Looks out.", "parameters": {"type": "object"}}])


def answers(template: str, messages: list[dict[str, Any]], *, tools: str = "") -> list[str]:
    """The texts in the loss."""
    return [text for text, is_answer in pieces(template, messages, tools=tools) if is_answer]


def pieces(template: str, messages: list[dict[str, Any]], *, tools: str = "") -> list[tuple[str, bool]]:
    layout = next(each for each in EXAMPLES if each.title == "chat messages")
    (raw,) = layout.read({"messages": messages, "tools": tools}, 1)
    encoder = DialogueEncoder(make_tokenizer(template), template="chat")
    return [(piece.text, piece.is_answer) for piece in encoder.pieces(raw.dialogues[0])]


@pytest.mark.parametrize(
    ("template", "answer"),
    [
        (CHATML, "<think>\nOne and one.\n</think>\n\n2<|im_end|>"),
        (QWEN, "<think>\nOne and one.\n</think>\n\n2<eos>"),
        (GPT_OSS, "<|analysis|>One and one.<|end|><|final|>2<eos>"),
        (REASONING, "One and one.\n</think>\n\n2"),
    ],
)
def test_reasoning_has_the_form_that_the_template_gives_it(template: str, answer: str) -> None:
    assert answers(template, [USER, THOUGHT]) == [answer]


def test_an_answer_without_reasoning_closes_what_the_generation_prompt_opens() -> None:
    assert pieces(REASONING, [USER, BOT]) == [
        ("<|user|>1+1?<|assistant|><think>\n", False),
        ("\n</think>\n\n2", True),
    ]


def test_earlier_reasoning_that_a_template_drops_is_not_taken_for_learned() -> None:
    with pytest.raises(UnusableRow, match="changes earlier answers"):
        answers(QWEN, [USER, THOUGHT, USER, THOUGHT])
    assert len(answers(CHATML, [USER, THOUGHT, USER, THOUGHT])) == 2


@pytest.mark.parametrize(
    ("template", "call"),
    [
        (QWEN, '<call>{"name": "weather", "arguments": {"city": "Oslo"}}</call><eos>'),
        (TEXT_ARGUMENTS, 'weather:{"city": "Oslo"}<eos>'),
        (PLAIN_ARGUMENTS, 'weather:{"city": "Oslo"}<eos>'),
    ],
)
def test_tool_calls_are_learned_as_the_template_writes_them(template: str, call: str) -> None:
    assert answers(template, CALLING) == [call, "It is sunny.<eos>"]


def test_tools_are_given_to_the_template() -> None:
    head = pieces(QWEN, CALLING, tools=TOOLS)[0][0]
    assert head.startswith('<|tools|>{"type": "function", "function": {"name": "weather"')


@pytest.mark.parametrize(
    ("template", "tools", "missing"),
    [
        (CHATML, "", "the tool calls of an answer"),
        (PLAIN_ARGUMENTS, TOOLS, "the tools"),
        (NO_TOOL_ROLE, "", "messages of the role tool"),
    ],
)
def test_what_a_template_leaves_out_is_not_trained_on(template: str, tools: str, missing: str) -> None:
    messages = CALLING if missing != "messages of the role tool" else [*CALLING[:1], BOT, *CALLING[2:]]
    with pytest.raises(UnusableRow, match=f"does not show {missing}"):
        answers(template, messages, tools=tools)


def test_a_message_that_a_template_writes_as_json_is_shown() -> None:
    template = LOOP + "{% if m.role == 'tool' %}{{ m.content | tojson }}{% else %}{{ m.content }}{% endif %}" + END
    messages = [CALLING[0], BOT, CALLING[2], CALLING[3]]
    assert answers(template, messages) == ["2<eos>", "It is sunny.<eos>"]


@pytest.mark.parametrize("template", ["none", "r1_zero"])
def test_other_templates_write_reasoning_before_the_answer_and_have_no_place_for_tools(template: str) -> None:
    encoder = DialogueEncoder(make_tokenizer(), template=template)
    *_, answer = encoder.pieces(Dialogue("1+1?", (THOUGHT,)))
    assert answer.text == "<think>\nOne and one.\n</think>\n\n2"
    with pytest.raises(UnusableRow, match=r"tool calls need data\.template=chat"):
        encoder.pieces(Dialogue("Weather?", ({**BOT, "tool_calls": "[]"},)))
    with pytest.raises(UnusableRow, match=r"its tools need data\.template=chat"):
        encoder.pieces(Dialogue("1+1?", (BOT,), TOOLS))


def test_a_question_that_a_template_cannot_show_is_left_out() -> None:
    encoder = DialogueEncoder(make_tokenizer(), template="none")
    with pytest.raises(UnusableRow, match="needs prompts that are strings"):
        encoder.pieces(Dialogue([{"role": "system", "content": "s"}, USER], (BOT,)))
