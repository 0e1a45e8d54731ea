# ruff: noqa: RUF001  (full-width punctuation)
from __future__ import annotations

import pytest

from r1ray.curation.trivial import is_trivial


@pytest.mark.parametrize(
    "request_",
    [
        *("hello", "Hello!", "Hi there :)", "  hey, how are you?  ", "Good morning.", "Thanks a lot!", "OK", "bye bye"),
        *("你好", "您好！", "早上好", "谢谢你。", "在吗？", "晚安~", "👋 Hello 👋"),
    ],
)
def test_greetings_thanks_and_farewells_need_no_reasoning(request_: str) -> None:
    assert is_trivial(request_)


@pytest.mark.parametrize(
    "request_",
    [
        *("Hello, what is the capital of Peru?", "Explain quantum physics", "Why?", "Hi, translate this: bonjour", ""),
        *("你好，请写一首诗", "早上好用英语怎么说", "Write: thank you", "2+2"),
    ],
)
def test_what_asks_for_something_is_not_trivial(request_: str) -> None:
    assert not is_trivial(request_)


def test_words_are_counted_and_a_chinese_character_is_one() -> None:
    assert is_trivial("Which city?", max_words=2) and not is_trivial("Which big city?", max_words=2)
    assert is_trivial("哪里", max_words=2) and not is_trivial("在哪里", max_words=2)


def test_ones_own_patterns_take_the_place_of_greetings() -> None:
    assert is_trivial("PING!", patterns=["ping"]) and not is_trivial("hello", patterns=["ping"])
    assert not is_trivial("hello", patterns=[])
