from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1ray.curation.filters import (
    COLD_START,
    REJECTION_SAMPLING,
    Example,
    FilterOptions,
    apply_filters,
    longest_loop,
    paragraphs,
)
from tests.growth import assert_linear

OPTIONS = FilterOptions(max_paragraph_words=60)
GOOD = Example(
    prompt="What is the sum of the first ten whole numbers?",
    reasoning="We pair the numbers: 1 with 10, 2 with 9.\n\nThere are five pairs of 11 each, so $5 \\cdot 11 = 55$.",
    summary="The sum is **55**.",
    language="en",
    response="...",
    is_cut=False,
    num_tokens=40,
)
CHINESE = replace(
    GOOD,
    prompt="前十个正整数之和是多少?",
    reasoning="把这些数两两配对:1 和 10,2 和 9。\n\n一共五对,每对是 11,所以 $5 \\cdot 11 = 55$。",
    summary="和为 **55**。",
    language="zh",
)
SENTENCE = "Then we look at the next of the terms, and see that it is smaller than the one before. "
CLAUSE = "然后我们来看下一项,可以看出它比前一项要小一些。"
NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


def varied(num_words: int) -> str:
    """English prose in which hardly anything is said twice."""
    return " ".join(random.Random(0).choices(NUMBERS, k=num_words))


def rejected(example: Example, options: FilterOptions = OPTIONS) -> str | None:
    found = apply_filters(example, REJECTION_SAMPLING, options)
    return None if found is None else found.filter


@pytest.mark.parametrize("example", [GOOD, CHINESE], ids=["english", "chinese"])
def test_a_good_example_passes_every_filter(example: Example) -> None:
    assert apply_filters(example, COLD_START, OPTIONS) is None
    assert apply_filters(example, REJECTION_SAMPLING, OPTIONS) is None


FORMULAE = "\n\n".join(f"$$x_{{{i}}} = {i}^2 + {i + 1} = {i * i + i + 1}$$" for i in range(60))
LISTED = "\n".join(f"{i}. The number {i} leaves {i % 7} when it is divided by seven." for i in range(60))
TABLE = "| n | square |\n|---|---|\n" + "\n".join(f"| {i} | {i * i} |" for i in range(60))
SEQUENCE = f"The digits are {'0, 1, ' * 12}and so on. {varied(30)}"
RESTATED = (
    "The problem asks for the sum of the first ten whole numbers. We pair them. Wait, let me check this once more: "
    "there are five pairs. Each pair has the sum eleven.\n\nThe problem asks for the sum of the first ten whole "
    "numbers. That is five times eleven, or fifty-five. Hmm, is it? Yes: ten times eleven, halved."
)


@pytest.mark.parametrize(
    "example",
    [
        replace(GOOD, reasoning="2 + 2 = 4"),
        replace(GOOD, reasoning=""),
        replace(GOOD, reasoning=FORMULAE),
        replace(GOOD, reasoning=f"We go through them.\n{LISTED}\nDone."),
        replace(GOOD, reasoning=f"The squares:\n\n{TABLE}\n\nWe read it off."),
        replace(GOOD, reasoning=SEQUENCE),
        replace(GOOD, reasoning=RESTATED),
        replace(
            GOOD,
            reasoning="The word 学习 means to study, as we saw. That is the one. Now let us check the others too.",
        ),
        replace(GOOD, reasoning="We call `print(x)` and then `f(x)`, whose `while` loop ends."),
        replace(GOOD, reasoning="We write a loop.", summary="Here it is:\n\n```python\nwhile x:\n    x -= 1\n```"),
        replace(GOOD, reasoning="Wait, wait, wait. Is it 11? No no no, it is 12."),
        replace(GOOD, summary="4"),
        replace(GOOD, summary="\\boxed{55}"),
        replace(CHINESE, reasoning="用 Python 的 `sum` 函数,或者用 Gauss 的方法,都可以得到这个结果。"),
        replace(
            CHINESE, reasoning="\n\n".join(f"第 {i} 步:把 {i} 加到 {i * i} 上,得到 {i * i + i}。" for i in range(30))
        ),
        replace(CHINESE, reasoning="首先,首先要看题目。哈哈哈哈,原来这么简单。"),
    ],
    ids=lambda example: example.reasoning[:20],
)
def test_tricky_good_examples_pass(example: Example) -> None:
    assert apply_filters(example, REJECTION_SAMPLING, OPTIONS) is None


@pytest.mark.parametrize(
    ("name", "example"),
    [
        ("cut", replace(GOOD, is_cut=True)),
        ("no_summary", replace(GOOD, summary=" \n\u200b")),
        ("no_summary", replace(GOOD, summary="**...**")),
        ("code_block", replace(GOOD, reasoning="We run:\n```python\nprint(55)\n```\nIt prints 55.")),
        ("code_block", replace(GOOD, reasoning="First:\n1. ~~~\n   x\n   ~~~\nThen.")),
        ("code_block", replace(GOOD, reasoning="We run:\n```python\nprint(55)")),
        ("broken_markdown", replace(GOOD, reasoning="So\n$$x = \\frac{1}{2}")),
        ("broken_markdown", replace(GOOD, summary="```python\nprint(55)")),
        ("long_paragraph", replace(GOOD, reasoning=varied(70))),
        ("long_paragraph", replace(GOOD, reasoning="\n".join(varied(70).split()))),
        ("long_paragraph", replace(CHINESE, reasoning="这是一个用来考察长度的句子里面没有任何空格" * 2 + CLAUSE)),
        ("repetition", replace(GOOD, reasoning="\n\n".join([SENTENCE] * 5))),
        ("repetition", replace(GOOD, summary="The answer is 55. " * 20)),
        ("repetition", replace(CHINESE, reasoning="\n\n".join([CLAUSE] * 5))),
        ("mixed_language", replace(GOOD, reasoning="我们把这些数两两配对。There are five pairs.")),
        ("mixed_language", replace(CHINESE, reasoning="We pair the numbers, 每对是 11.")),
        ("mixed_language", replace(GOOD, language="fr")),
    ],
)
def test_each_fault_is_found_by_its_filter(name: str, example: Example) -> None:
    assert rejected(example) == name


def test_code_and_long_paragraphs_in_the_reasoning_are_no_fault_of_a_cold_start_example() -> None:
    reasoning = f"We run:\n```python\nprint(55)\n```\n{varied(70)}"
    assert apply_filters(replace(GOOD, reasoning=reasoning), COLD_START, OPTIONS) is None


def test_a_loop_at_the_end_of_long_good_reasoning_is_found() -> None:
    good = varied(2000)
    loop = "But wait, I should check this again. " * 8
    assert apply_filters(replace(GOOD, reasoning=good), COLD_START, OPTIONS) is None
    found = apply_filters(replace(GOOD, reasoning=f"{good}. {loop}"), COLD_START, OPTIONS)
    assert found is not None
    assert found == ("repetition", "56 words in a loop: but wait i should check this again but...")


def test_limits_on_length_hold_only_where_they_are_given() -> None:
    long = replace(GOOD, response="x" * 1001, num_tokens=201)
    assert rejected(long) is None
    assert rejected(long, FilterOptions(max_characters=1000)) == "over_long"
    assert rejected(long, FilterOptions(max_characters=1001, max_tokens=201)) is None
    assert rejected(long, FilterOptions(max_tokens=200)) == "over_long"


def test_a_limit_on_tokens_needs_their_number() -> None:
    with pytest.raises(ValueError, match="max_tokens=10"):
        apply_filters(replace(GOOD, num_tokens=None), COLD_START, FilterOptions(max_tokens=10))


def test_the_first_filter_that_fails_is_the_one_that_is_counted() -> None:
    examples = [GOOD, replace(GOOD, is_cut=True, summary=""), replace(GOOD, summary=""), CHINESE]
    found = [apply_filters(example, COLD_START, OPTIONS) for example in examples]
    assert Counter(rejection.filter for rejection in found if rejection) == {"cut": 1, "no_summary": 1}


def test_list_items_headings_rows_and_formulae_end_a_paragraph() -> None:
    text = "a\nb\n- c\n2) d\n# e\n| f |\n> g\n\nh\n$$\nx\n$$\ni"
    assert [paragraph.split() for paragraph in paragraphs(text) if paragraph.strip() not in ("", "0")] == [
        ["a", "b"],
        ["-", "c"],
        ["2)", "d"],
        ["#", "e"],
        ["|", "f", "|"],
        [">", "g"],
        ["h"],
        ["i"],
    ]


@given(st.lists(st.sampled_from("ab"), max_size=40), st.integers(1, 6), st.integers(2, 5))
def test_a_loop_is_the_same_words_so_many_times(letters: list[str], max_period: int, min_turns: int) -> None:
    said = [letter * 2 for letter in letters]
    loops = [
        said[start:end]
        for start in range(len(said))
        for end in range(start + 1, len(said) + 1)
        for period in range(1, max_period + 1)
        if end - start >= period * min_turns and said[start : end - period] == said[start + period : end]
    ]
    found = longest_loop(said, max_period=max_period, min_turns=min_turns)
    assert len(found) == max((len(loop) for loop in loops), default=0)


@given(st.text(alphabet="ab \n`$|\\[\u5b66。", max_size=80), st.text(alphabet="a\n` ", max_size=10))
def test_any_text_gets_an_answer(reasoning: str, summary: str) -> None:
    found = apply_filters(replace(GOOD, reasoning=reasoning, summary=summary), REJECTION_SAMPLING, OPTIONS)
    assert found is None or found.reason


def test_time_is_linear_up_to_a_response_of_the_greatest_length() -> None:
    def work(reasoning: str) -> None:
        assert apply_filters(replace(GOOD, reasoning=reasoning), COLD_START, OPTIONS) is None

    assert_linear(work, varied, 30_000)
