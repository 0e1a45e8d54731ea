from __future__ import annotations

from typing import Any

import pytest
from transformers import AutoTokenizer

from r1ray.data.template import Form
from r1ray.errors import UserError
from r1ray.stages.chat.conversation import Conversation

TEMPLATE = (
    "{% for message in messages %}<{{ message.role }}>{{ message.content }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture(scope="module")
def tokenizer(llama_folder: str) -> Any:
    made = AutoTokenizer.from_pretrained(llama_folder)
    made.chat_template = TEMPLATE
    return made


def test_a_chat_template_reads_what_was_said_before(tokenizer: Any) -> None:
    chat = Conversation(tokenizer, Form("chat", system_prompt="Be brief."), context=500, max_tokens=20)
    assert chat.ask("1+1?").text == "<system>Be brief.<user>1+1?<assistant>"
    chat.answered("1+1?", "2")
    assert chat.ask("and 2+2?").text == "<system>Be brief.<user>1+1?<assistant>2<user>and 2+2?<assistant>"
    chat.forget()
    assert chat.ask("3+3?").text == "<system>Be brief.<user>3+3?<assistant>"


@pytest.mark.parametrize("template", ["none", "r1_zero"])
def test_without_one_each_question_stands_for_itself(tokenizer: Any, template: str) -> None:
    chat = Conversation(tokenizer, Form(template), context=5000, max_tokens=20)
    first = chat.ask("1+1?")
    chat.answered("1+1?", "2")
    assert chat.ask("1+1?") == first and not chat.has_turns


def test_an_answer_has_the_room_that_is_left(tokenizer: Any) -> None:
    chat = Conversation(tokenizer, Form("none"), context=40, max_tokens=30)
    asked = chat.ask("1+1?")
    assert asked.max_tokens == 30 and asked.num_tokens == 4
    assert chat.ask("1+" * 10).max_tokens == 40 - 20


def test_a_conversation_that_is_too_long_is_said_to_be_and_goes_on_without_the_question(tokenizer: Any) -> None:
    chat = Conversation(tokenizer, Form("chat"), context=120, max_tokens=30)
    with pytest.raises(UserError, match=r"the question has \d+ tokens, of 120 .* ask a shorter one"):
        chat.ask("1+" * 100)
    chat.answered("1+1?", "2" * 30)
    with pytest.raises(UserError, match=r"the conversation with this question .* /new begins a new one"):
        chat.ask("1+" * 30)
    assert chat.ask("1?").max_tokens > 0
