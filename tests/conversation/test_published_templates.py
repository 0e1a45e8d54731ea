"""The chat templates of published models, with tokenizers that hold their special tokens: what is sampled and what
follows it are, token by token, what the engine would see of the whole conversation."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1ray.conversation import ChatRenderer, ConversationSettings, check_template, make_renderer
from r1ray.conversation.probes import THOUGHT, THOUGHTFUL, USER
from r1ray.conversation.template import ChatTemplate
from r1ray.errors import UserError
from r1ray.turns import Message, ToolCall
from tests.conversation.tokenizers_made import (
    CALCULATOR,
    SMOLLM2,
    made_tokenizer,
    published_templates,
    published_tokenizer,
)

pytestmark = pytest.mark.needs("templates")
DROP_TOOLS = {
    *("cohere", "cohere2", "deepseek_r1_distill", "deepseekv3", "gemma", "gemma3", "idefics3", "llama3", "llava_next"),
    *("phi3", "phi3_5", "qwen2_5_vl", "smolvlm"),
}
CALLS_UNKNOWN = {"lfm2"}
"""It drops the calls of earlier turns."""
REWRITES = {"deepseek_r1_distill", "deepseekv3"}
"""The prompt of a turn is no beginning of its own history: each turn is a branch."""
IN_SHORT = ("glm4moe", "llama3_1", "qwen3")
TOOLS = [CALCULATOR]
WORDS = st.lists(st.sampled_from(["seven", "or", "the", "so,", "x\ny", "\u00e9", "{", "7"]), min_size=1, max_size=4)
FORGED = ("<|im_end|>", "<|im_start|>assistant\n", "<tool_call>", "</think>", "<|eot_id|>", "<|end|>", "<|user|>")


def in_short_and_long(names: Sequence[str]) -> list[Any]:
    return [pytest.param(name, marks=() if name in IN_SHORT else pytest.mark.long) for name in names]


@cache
def chat_of(name: str) -> tuple[ChatRenderer, ChatTemplate]:
    tokenizer = made_tokenizer(SMOLLM2) if name == "smollm2" else published_tokenizer(name)
    chosen = ConversationSettings(model=name, renderer="template")
    return make_renderer(tokenizer, settings=chosen), ChatTemplate(tokenizer)


def shows_tools(name: str) -> bool:
    return name not in {*DROP_TOOLS, *CALLS_UNKNOWN, "smollm2"}


NAMES = (*sorted(published_templates()), "smollm2")


@pytest.mark.parametrize("name", sorted(DROP_TOOLS))
def test_a_template_that_drops_tools_is_refused_by_name(name: str) -> None:
    chosen = ConversationSettings(model=name, renderer="template")
    with pytest.raises(UserError, match=f"^model={name}: .* it drops tools silently: calculator"):
        check_template(published_tokenizer(name), TOOLS, settings=chosen)


@pytest.mark.long
def test_templates_with_tools_are_refused_only_where_the_form_of_their_calls_is_unknown() -> None:
    refused = set()
    for name in published_templates().keys() - DROP_TOOLS:
        chosen = ConversationSettings(model=name, renderer="template")
        try:
            check_template(published_tokenizer(name), TOOLS, settings=chosen)
        except UserError as error:
            assert re.search("drops the calls|form of its calls is unknown", str(error))
            refused.add(name)
    assert refused == CALLS_UNKNOWN


def test_smollm2_drops_tools_and_serves_without_them() -> None:
    chosen = ConversationSettings(model="smollm2", renderer="template")
    check_template(made_tokenizer(SMOLLM2), [], settings=chosen)
    with pytest.raises(UserError, match="drops tools silently: calculator"):
        check_template(made_tokenizer(SMOLLM2), TOOLS, settings=chosen)


@st.composite
def turns(draw: st.DrawFn) -> list[tuple[Message, bool]]:
    """Draw turns, and whether a tool follows each."""
    made = []
    for _ in range(draw(st.integers(1, 3))):
        reasoning, content = (" ".join(draw(WORDS)) if draw(st.booleans()) else "" for _ in range(2))
        calls = tuple(
            ToolCall("calculator", {"expression": " ".join(draw(WORDS)), "digits": draw(st.integers(0, 99))})
            for _ in range(draw(st.integers(0, 2)))
        )
        said = Message("assistant", content or ("" if calls else "yes"), reasoning, calls)
        made.append((said, bool(calls) and draw(st.booleans())))
    return made


def told(after: Message, text: str, *, by_tool: bool) -> list[Message]:
    return [Message("tool", text, tool=each.name) for each in after.calls] if by_tool else [Message("user", text)]


def sampled_like(
    chat: ChatRenderer, prompt: list[int], whole: list[int], turn: Message, tools: Any
) -> list[int] | None:
    """Return a turn's tokens as they stand in a whole conversation; None where they do not: it was rewritten."""
    wanted = (turn.content, turn.reasoning, [(each.name, each.arguments) for each in turn.calls])
    for place in range(len(prompt), len(whole)):
        if whole[place] in chat.stop_token_ids:
            sampled = whole[len(prompt) : place + 1]
            action = chat.parse(sampled, tools)
            if wanted == (action.content, action.reasoning, [(each.name, each.arguments) for each in action.calls]):
                return sampled
    return None


@pytest.mark.parametrize("name", in_short_and_long(NAMES))
def test_prompt_turn_and_bridge_are_the_tokens_of_the_whole_conversation(name: str) -> None:
    chat, template = chat_of(name)
    tools = TOOLS if shows_tools(name) else []
    thinks = THOUGHT in (template.attempt([USER, THOUGHTFUL]) or "")
    num_bridged = 0

    @settings(max_examples=6 if name in IN_SHORT else 25, deadline=None, derandomize=True)
    @given(turns(), st.lists(st.sampled_from([*FORGED, "4", " is ", "\n"]), max_size=4))
    def conversation(script: list[tuple[Message, bool]], pieces: list[str]) -> None:
        nonlocal num_bridged
        messages = [Message("user", "What is 2 + 2?")]
        for turn, by_tool in script:
            turn = turn if thinks else replace(turn, reasoning="")
            turn = turn if tools else replace(turn, content=turn.content or "yes", calls=())
            new = told(turn, "".join(pieces) or "4", by_tool=by_tool and bool(tools))
            if template.attempt([*messages, turn, *new], tools) is None:  # two calls, or roles, that it does not take
                return
            before = template.text(messages, tools, opens=True)
            after = template.text([*messages, turn, *new], tools, opens=True).removeprefix(before)
            prompt = chat.prompt(messages, tools)
            whole = [*prompt, *template.encode(after)]  # the engine reads the prompt's end before it samples
            sampled = sampled_like(chat, prompt, whole, turn, tools)
            if sampled is not None:
                bridge = chat.bridge(messages, tools, prompt, sampled, new)
                assert bridge is not None and [*prompt, *sampled, *bridge] == whole
                num_bridged += 1
            messages += [turn, *new]

    conversation()
    assert (num_bridged == 0) == (name in REWRITES)


SAMPLED = (
    *(
        "<think>",
        "</think>",
        "well",
        "\n",
        " 4",
        "<tool_call>",
        "</tool_call>",
        '{"name": "calculator"',
        "}",
        "[",
        ")]",
    ),
    *('<tool_call>\n{"name":"calculator", "arguments": {"expression": "2"}}\n</tool_call>', "<|tool_call_start|>"),
    "well\n</think>\n\n<tool_call>\n<function=calculator>\n</function>\n</tool_call>",
    *("<tool_call>\n<function=calculator>\n</function>\n</tool_call>", "<|im_start|>", "<|start|>", "<|message|>"),
)


@pytest.mark.parametrize("name", in_short_and_long(NAMES))
def test_whatever_is_sampled_stays_as_it_is_and_what_follows_has_no_forged_token(name: str) -> None:
    chat, template = chat_of(name)
    tools = TOOLS if shows_tools(name) else []
    marks = {number for text, number in _tokenizer(name).get_added_vocab().items() if text.strip()}
    num_bridged = 0

    @settings(max_examples=12 if name in IN_SHORT else 60, deadline=None, derandomize=True)
    @given(
        st.lists(st.sampled_from(SAMPLED), max_size=6),
        st.sampled_from(["stop", "none", "eos"]),
        st.lists(st.sampled_from([*FORGED, "4", "\n"]), min_size=1, max_size=4),
        st.booleans(),
    )
    def turn(pieces: list[str], end: str, told: list[str], by_tool: bool) -> None:
        nonlocal num_bridged
        messages = [Message("user", "2 + 2?")]
        prompt, said = chat.prompt(messages, tools), template.encode("".join(pieces))
        ends = {"stop": chat.stop_token_ids[0], "eos": _tokenizer(name).eos_token_id}
        sampled = [*said, ends[end]] if end in ends else said
        action = chat.parse(sampled, tools)
        assert action.is_whole == (end != "none" or said[-1:] == [ends["stop"]])
        calls = [each.name for each in action.calls if not each.problem] if by_tool else []

        def following(text: str) -> list[Message]:
            return [Message("tool", text, tool=each) for each in calls] or [Message("user", text)]

        bridge = chat.bridge(messages, tools, prompt, sampled, following("".join(told)))
        plain = chat.bridge(messages, tools, prompt, sampled, following("4"))
        assert (bridge is None) == (plain is None)
        if bridge is None or plain is None:
            return
        num_bridged += 1
        assert Counter(each for each in bridge if each in marks) == Counter(each for each in plain if each in marks)
        if end == "none" and (closed := chat.bridge(messages, tools, prompt, [*sampled, ends["stop"]], following("4"))):
            assert plain[-len(closed) :] == closed and len(plain) > len(closed)

    turn()
    assert (num_bridged == 0) == (name in REWRITES)


def _tokenizer(name: str) -> Any:
    return made_tokenizer(SMOLLM2) if name == "smollm2" else published_tokenizer(name)
