from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1ray.curation.writing import (
    BOXED,
    DIRECT,
    FEW_SHOT,
    PLAIN,
    PROGRAM,
    REWRITE,
    SUMMARY,
    Shot,
    asked,
    asked_to_think,
    taken_apart,
    thoughts,
    written,
)
from r1ray.reward.extract import SPECIAL_TOKEN, after_think, final_answer
from r1ray.reward.format import cold_start_sections, sections

WORDS = st.text(alphabet="ab c加所\n", min_size=1).filter(lambda text: text.strip() == text and bool(text))


@given(WORDS, WORDS, st.sampled_from(["cold_start", "tags"]))
def test_what_is_written_is_taken_apart_into_the_same(reasoning: str, summary: str, pattern: str) -> None:
    assert taken_apart(written(reasoning, summary, pattern=pattern)) == (reasoning, summary)


def test_examples_are_of_the_papers_patterns() -> None:
    assert cold_start_sections(written("a", "b", pattern="cold_start")) == ("a", "b")
    assert sections(written("a", "b", pattern="tags")) == ("a", "b")


def test_the_answer_is_looked_for_in_the_summary_alone() -> None:
    text = written(r"maybe \boxed{1}", r"It is \boxed{2}.", pattern="cold_start")
    assert final_answer(text) == "2"
    assert after_think(f"reasoning{SPECIAL_TOKEN}summary") == "summary", "the prompt may have opened the reasoning"
    assert after_think(f"{SPECIAL_TOKEN}reasoning that never ends") == ""


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("<think>a</think> b", ("a", "b")),
        ("<think>a</think><answer>b</answer>", ("a", "b")),
        ("a</think>b", ("a", "b")),
        ("nothing", ("nothing", "")),
        ("<think>a", ("<think>a", "")),
    ],
)
def test_a_response_without_a_summary_has_none(text: str, parts: tuple[str, str]) -> None:
    assert taken_apart(text) == parts


def test_a_plain_question_is_as_in_training() -> None:
    messages = [{"role": "user", "content": "1+1"}]
    assert asked(messages, PLAIN, language="en") is messages


def test_each_way_asks_for_reasoning_and_a_summary_in_the_prompts_language() -> None:
    shots = [Shot("1+1", "one and one", "2")]
    for way in (FEW_SHOT, DIRECT, REWRITE):
        english = asked("6*7", way, language="en", shots=shots, response="42")
        chinese = asked("6*7", way, language="zh", shots=shots, response="42")
        assert "6*7" in english and "summary" in english and "总结" in chinese
    assert "one and one" in asked("6*7", FEW_SHOT, language="en", shots=shots)
    assert "verify" in asked("6*7", DIRECT, language="en")
    assert "<solution>\n42\n</solution>" in asked("6*7", REWRITE, language="en", response="42")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_end_is_what_the_prompts_check_looks_at(language: str) -> None:
    texts = {end: str(asked("q", DIRECT, language=language, end=end)) for end in (BOXED, PROGRAM, SUMMARY)}
    assert [end for end, text in texts.items() if r"\boxed{}" in text] == [BOXED]
    assert [end for end, text in texts.items() if "code block" in text or "代码块" in text] == [PROGRAM]


def test_thoughts_are_asked_for_with_the_request_and_its_reply_in_sight() -> None:
    english, chinese = (asked_to_think("Name a river.", "The Rhine.", language=name) for name in ("en", "zh-TW"))
    for text in (english, chinese):
        assert "<request>\nName a river.\n</request>\n<reply>\nThe Rhine.\n</reply>" in text and "<think>" in text
    assert "English only" in english and "只用中文思考" in chinese


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<think>a</think>", "a"),
        ("a</think> rest", "a"),
        ("<think>my own</think> Here: <think> a </think>", "a"),
        ("<|reasoning|>my own<|reasoning|><think>a</think>", "a"),
        *((text, None) for text in ("", "a", "<think>a", "<think> </think>", "</think>")),
    ],
)
def test_thoughts_stand_between_the_last_marks(text: str, found: str | None) -> None:
    assert thoughts(text) == found
