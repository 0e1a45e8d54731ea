from __future__ import annotations

import pytest

from r1ray.data.template import render
from r1ray.errors import UserError

CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1+1?"}]


def test_the_papers_template_holds_the_question_and_both_tags() -> None:
    text = render("What is 1+1?", template="r1_zero")
    assert text.endswith("User: What is 1+1?. Assistant:")
    assert "<think> reasoning process here </think> <answer> answer here </answer>" in text


def test_chat_messages_go_into_the_papers_template_too() -> None:
    assert "User: Be brief.\n1+1?. Assistant:" in render(CHAT, template="r1_zero")


def test_braces_in_a_question_are_kept() -> None:
    assert r"\boxed{4}" in render(r"Use \boxed{4}", template="r1_zero")


def test_none_takes_the_prompt_as_it_stands() -> None:
    assert render("1+1=", template="none") == "1+1="
    with pytest.raises(UserError, match="needs prompts that are strings"):
        render(CHAT, template="none")


def test_chat_uses_the_tokenizers_template() -> None:
    def apply(messages: object) -> str:
        return f"<{messages}>"

    assert render("q", template="chat", apply_chat=apply) == "<[{'role': 'user', 'content': 'q'}]>"
    with pytest.raises(UserError, match="has no chat template"):
        render("q", template="chat")
