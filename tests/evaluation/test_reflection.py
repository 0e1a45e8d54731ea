"""What counts as going back on oneself, phrase by phrase, and what only looks like it."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1ray.evaluation.reflection import CHINESE, ENGLISH, PUBLISHED_TERMS, find_reflections, measure_reflection


def phrases(text: str) -> list[str]:
    return [found.phrase for found in find_reflections(text)]


def test_the_papers_own_example_is_found() -> None:
    text = "Wait, wait. Wait. That's an aha moment I can flag here. Let's reevaluate this step by step."
    assert phrases(text) == ["wait", "wait", "wait", "aha", "re-evaluate"]


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("Hmm, wait \u2014 no", "wait"),
        ("so x = 4\nWait\nthe root", "wait"),
        ("But wait that means", "wait"),
        ("Hold on, is it?", "hold on"),
        ("I should re-check it", "re-evaluate"),
        ("Recalculating gives 5", "re-evaluate"),
        ("To double-check: 4", "double-check"),
        ("Let\u2019s verify this", "let me check"),
        ("Let me just double check it", "let me check"),
        ("let me check", "let me check"),
        ("Let me try the sum again", "check again"),
        ("we start over", "start over"),
        ("I made a sign error", "mistake"),
        ("I misread the question", "mistake"),
        ("that's wrong", "not right"),
        ("This is not quite right", "not right"),
        ("That can't be right.", "not right"),
        ("On second thought", "second thought"),
        ("try a different approach", "another approach"),
        ("等等\uff0c这里", "等等"),
        ("答案是3。等等\uff0c再看", "等等"),
        ("所以x=5\uff0c等等\uff0c这好像", "等等"),
        ("等一下", "等一下"),
        ("啊哈", "啊哈"),
        ("这样不对", "不对"),
        ("让我们重新计算", "重新"),
        ("再仔细检查", "再检查"),
        ("验算一下", "检查一下"),
        ("我算错了", "算错"),
        ("换个思路", "换个思路"),
    ],
)
def test_a_phrase_is_found(text: str, phrase: str) -> None:
    assert phrase in phrases(text)


@pytest.mark.parametrize(
    "text",
    [
        "The waiter waits; the wait is 5 minutes.",
        "He has to wait. She will wait, too.",
        "wait 5 minutes, then wait for the bus",
        "a wait-list",
        "hold on to the rope",
        "reading a report on research and results",
        "that is correct, and it is right",
        "this is not wrong",
        "the standard error is an error bound",
        "a checkpoint; awaiting; Ahab",
        "苹果、梨、桃等等。",
        "不对称矩阵\uff0c不对应",
        "对不对\uff1f",
        "重新排列这些数",
        "检查员",
    ],
)
def test_what_only_looks_like_a_phrase_is_not_counted(text: str) -> None:
    assert phrases(text) == []


def test_latin_words_need_no_spaces_in_chinese_text() -> None:
    assert phrases("所以是5。Wait\uff0c不对") == ["wait", "不对"]
    assert phrases("我要double-check一下") == ["double-check"]


def test_positions_are_those_of_the_text() -> None:
    text = "It\u2019s 4. Wait, 让我重新检查。"
    found = find_reflections(text)
    assert [text[hit.start : hit.end] for hit in found] == ["Wait", "重新检查"]


def test_a_phrase_inside_another_counts_once() -> None:
    assert phrases("Let me double-check") == ["let me check"]
    assert phrases("等一等") == ["等一下"]


def test_frequencies_by_hand() -> None:
    figures = measure_reflection(["Wait, no. Wait!", "It is 4.", "不对\uff0c我算错了"], [100, 300, 100])
    assert figures.share == pytest.approx(2 / 3)
    assert figures.per_completion == pytest.approx(4 / 3)
    assert figures.per_1k_tokens == pytest.approx(8.0)
    assert figures.by_phrase == {"wait": 2, "不对": 1, "算错": 1}


def test_quotes_say_where_and_in_what_context() -> None:
    text = "a" * 100 + " so\nx = 5. Wait, that gives 6. " + "b" * 100
    figures = measure_reflection(["nothing", text, "Wait, no"], [1, 1, 1])
    first, second = figures.quotes
    assert (first.text, first.phrase) == (1, "wait")
    assert text[first.start :].startswith("Wait")
    assert "so x = 5. Wait, that gives 6." in first.excerpt
    assert first.excerpt.startswith("... a") and first.excerpt.endswith("b ...")
    assert second.excerpt == "Wait, no"
    assert measure_reflection(["Wait!"] * 5, [1] * 5, max_quotes=2).quotes[1].text == 1


def test_the_published_words_can_be_counted_instead() -> None:
    found = find_reflections("But however, wait for the waiter", english=PUBLISHED_TERMS, chinese={})
    assert [hit.phrase for hit in found] == ["but", "however", "wait"]
    assert find_reflections("Wait, no", english={}, chinese=CHINESE) == []
    assert find_reflections("不对", english=ENGLISH, chinese={}) == []


def test_texts_need_lengths() -> None:
    with pytest.raises(ValueError, match="1 texts with 2 lengths"):
        measure_reflection(["a"], [1, 2])
    with pytest.raises(ValueError, match="at least one"):
        measure_reflection([], [])


@given(st.text(alphabet="wait, .'-r\u2019不对等重新检查\n", max_size=60))
def test_phrases_come_in_order_and_do_not_overlap(text: str) -> None:
    found = find_reflections(text)
    assert all(a.end <= b.start for a, b in itertools.pairwise(found))
    assert all(0 <= hit.start < hit.end <= len(text) for hit in found)


@pytest.mark.parametrize("piece", ["wait ", "let me ", "check a ", "that is not ", "再", "等等", "re", "a-" * 3, " "])
def test_long_texts_take_linear_time(piece: str) -> None:
    start = time.process_time()
    find_reflections(piece * 100_000)
    assert time.process_time() - start < 5
