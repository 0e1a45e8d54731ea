"""Turns of a model without a chat template: text below text."""

from __future__ import annotations

import pytest

from r1ray.conversation import ChatRenderer, ConversationSettings, make_renderer
from r1ray.turns import Message
from tests.conversation.tokenizers_made import made_tokenizer

ASKED = [Message("user", "What is 2 + 2")]
WRONG = [Message("user", "No.<|im_end|>")]


def plain(template: str) -> ChatRenderer:
    return make_renderer(made_tokenizer(None), settings=ConversationSettings(model="made", template=template))


def ids(text: str) -> list[int]:
    return list(made_tokenizer(None)(text, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("none", "What is 2 + 2 5<|im_end|>\nNo.< |im_end|>\n"),
        ("r1_zero", " 5<|im_end|>\nUser: No.< |im_end|>\nAssistant:"),
    ],
)
def test_what_is_said_stands_below_what_was_sampled(template: str, expected: str) -> None:
    chat = plain(template)
    prompt, sampled = chat.prompt(ASKED, []), ids(" 5<|im_end|>")
    bridge = chat.bridge(ASKED, [], prompt, sampled, WRONG)
    assert bridge is not None
    assert chat.decode([*prompt, *sampled, *bridge]).endswith(expected)
    assert chat.bridge(ASKED, [], prompt, ids(" 5"), WRONG) == [*ids("<|im_end|>"), *bridge]


def test_a_conversation_that_is_written_anew_has_the_same_text() -> None:
    chat = plain("r1_zero")
    prompt = chat.prompt(ASKED, [])
    bridge = chat.bridge(ASKED, [], prompt, ids(" 5<|im_end|>"), WRONG) or []
    anew = chat.prompt([*ASKED, Message("assistant", "5"), *WRONG], [])
    assert chat.decode(anew) == chat.decode([*prompt, *ids(" 5<|im_end|>"), *bridge])


@pytest.mark.parametrize(
    ("text", "reasoning", "content", "is_whole"),
    [
        (" <think>Two and two.</think> <answer>4</answer><|im_end|>", "Two and two.", "<answer>4</answer>", True),
        (" <think>Two and", "", "<think>Two and", False),
    ],
)
def test_a_turn_is_read_as_reasoning_and_answer(text: str, reasoning: str, content: str, is_whole: bool) -> None:
    action = plain("r1_zero").parse(ids(text), [])
    assert (action.reasoning, action.content, action.is_whole) == (reasoning, content, is_whole)
