r"""Where the final answer of a response stands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1ray.data.answer_forms import DEFAULT_FORMS
from r1ray.reward.extract import MAX_ANSWER_CHARS, after_think, answer_section, final_answer, last_boxed
from tests.growth import assert_linear


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("<think>a</think> b", " b"),
        ("<think>a</think> b </think> c", " c"),
        ("no reasoning", "no reasoning"),
        ("the prompt opened it</think>b", "b"),
        ("<think>never closed", ""),
        ("<think>a</think> b <think> c", ""),
        ("", ""),
    ],
)
def test_reasoning_ends_at_its_last_end(text: str, rest: str) -> None:
    assert after_think(text) == rest


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (r"\boxed{4}", "4"),
        (r"\boxed{3} and then \boxed{4}", "4"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}"),
        (r"\boxed{\boxed{4}}", "4"),
        (r"\boxed{x=\boxed{5}}", "5"),
        (r"\boxed {4}", "4"),
        ("\\boxed{\n4\n}", "4"),
        (r"\\boxed{4}", "4"),
        (r"a \\ \boxed{4}", "4"),
        (r"\boxed{3} \boxed{4", "3"),
        (r"} { \boxed{4} {", "4"),
        (r"\boxed{4}}}}", "4"),
        (r"\boxed{}", ""),
        (r"\boxed{4", None),
        (r"\boxed 4", None),
        (r"\fbox{4}", None),
        (r"\boxed{4\}", None),
        ("boxed{4}", None),
        (r"$$\boxed{4}$$ where \boxed is a command", "4"),
        ("4", None),
    ],
)
def test_the_box_is_the_last_one_that_closes(text: str, content: str | None) -> None:
    assert last_boxed(text) == content


@pytest.mark.parametrize(
    ("text", "section"),
    [
        ("<answer> 4 </answer>", "4"),
        ("<answer>3</answer><answer>4</answer>", "4"),
        ("<answer>3</answer><answer>4", "3"),
        ("<answer>4", None),
        ("4</answer>", None),
        ("<answer></answer>", ""),
    ],
)
def test_the_section_is_the_last_one_that_closes(text: str, section: str | None) -> None:
    assert answer_section(text) == section


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>25+4</think> <answer>29</answer>", "29"),
        (r"<think>x</think> <answer>It is \boxed{29}.</answer>", "29"),
        (r"<think>x</think> \boxed{1} <answer>29</answer>", "29"),
        (r"<think>x</think> It is \boxed{29}.", "29"),
        (r"<think>\boxed{4}</think><answer>I do not know</answer>", "I do not know"),
        (r"<think>\boxed{4}</think> I do not know", None),
        (r"<think>\boxed{4}", None),
        ("The answer is 29.", None),
        (r"\boxed{1} then \boxed{}", None),
        ("<answer>  </answer>", None),
        ("", None),
    ],
)
def test_the_final_answer(text: str, answer: str | None) -> None:
    assert final_answer(text) == answer


def test_an_endless_answer_is_cut() -> None:
    assert final_answer("<answer>" + "9" * 50_000 + "</answer>") == "9" * MAX_ANSWER_CHARS


PIECES = ["\\boxed{", "{", "}", "\\", "\\{", "<think>", "</think>", "<answer>", "</answer>", " ", "x", "\\boxed"]


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("end", ["", "}", r"\boxed{4}", "</answer>"])
def test_a_million_characters_cost_linear_time(piece: str, end: str) -> None:
    assert_linear(final_answer, lambda size: piece * size + end, 1_000_000 // len(piece))


def test_a_long_response_costs_linear_time() -> None:
    def work(text: str) -> None:
        assert final_answer(text) == "4"

    assert_linear(work, lambda size: "We have $x^{2}$ and so on. " * size + r"\boxed{4}", 40_000)


@given(st.lists(st.sampled_from(PIECES), max_size=60).map("".join))
def test_no_text_breaks_the_extraction(text: str) -> None:
    answer = final_answer(text)
    assert answer is None or (answer in text and answer.strip() == answer)


@given(st.text(alphabet="ab12+-^_ \\{}", max_size=30).filter(lambda text: text.count("{") == text.count("}") == 0))
def test_what_is_boxed_comes_out(content: str) -> None:
    if content.endswith("\\") or "\\" in content:
        return
    assert last_boxed(rf"first \boxed{{1}}, then \boxed{{{content}}} done") == content.strip()


HASHES, LINE, BARE = (DEFAULT_FORMS | {form} for form in ("hashes", "line", "bare"))


@pytest.mark.parametrize(
    ("text", "forms", "answer"),
    [
        ("3 + 4 = 7\n#### 7", HASHES, "7"),
        ("3 + 4 = 7 #### 7.", HASHES, "7"),
        ("#### 8\nNo, I forgot one.\n#### 7", HASHES, "7"),
        ("<think>#### 8</think>#### 7", HASHES, "7"),
        ("<think>#### 8", HASHES, None),
        (r"It is \boxed{8}. #### 7", HASHES, "7"),
        (r"#### \boxed{7}", HASHES, "7"),
        (r"only a \boxed{7}", HASHES, "7"),
        ("#### 7\n#### 8", HASHES, None),
        ("#### 8\n\n#### 7", HASHES, None),
        (r"#### 7 or \boxed{8} or \boxed{9}", HASHES, r"7 or \boxed{8} or \boxed{9}"),
        ("#### 7\n\nSo \\boxed{8}", HASHES, None),
        ("#### 7\n\nSo \\boxed{$7$}", HASHES, "7"),
        ("3 + 4 = 7\nAnswer: 7", LINE, "7"),
        ("**Answer:** $7$", LINE, "$7$"),
        ("### Final answer:\n\n7", LINE, "7"),
        ("The answer: 7", LINE, "7"),
        ("答案\uff1a7", LINE, "7"),
        ("Answer: 8\nAnswer: 7", LINE, None),
        ("Answer: \\boxed{7}", LINE, "7"),
        ("The answer is 7.", LINE, None),
        ("#### 7", LINE, None),
        ("Answer: 7", HASHES, None),
        ("It has seven sides.\n\n7", BARE, "7"),
        ("**1,234.50**", BARE, "1,234.50"),
        ("-3/4", BARE, "-3/4"),
        (r"so" + "\n" + r"$\frac{1}{2}$", BARE, r"$\frac{1}{2}$"),
        ("(B)", BARE, "(B)"),
        ("7\n8", BARE, None),
        ("7\n7", BARE, "7"),
        ("7, 8", BARE, None),
        ("$7$ or $8$", BARE, None),
        ("There are 7", BARE, None),
        ("<think>7", BARE, None),
        ("7", DEFAULT_FORMS, None),
        (r"\boxed{7} <answer>8</answer>", frozenset({"boxed"}), "7"),
        (r"\boxed{7}", frozenset({"hashes"}), None),
    ],
)
def test_the_form_that_is_asked_for_is_the_one_that_counts(
    text: str, forms: frozenset[str], answer: str | None
) -> None:
    assert final_answer(text, forms=forms) == answer


@pytest.mark.parametrize("piece", ["####", "#### 7\n", "Answer: ", "Answer: 7\n", "7\n", "* ", "\n \n"])
def test_lines_that_are_asked_for_cost_linear_time(piece: str) -> None:
    every = frozenset({"boxed", "tag", "hashes", "line", "bare"})
    assert_linear(lambda text: final_answer(text, forms=every), lambda size: piece * size, 400_000 // len(piece))
