from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1ray.checks import CodeTests, StdioCase
from r1ray.reward.shaping import (
    code_format,
    cosine_length,
    ngram_repetition,
    repetition_penalty,
    soft_overlong,
    tag_count,
)
from r1ray.types import Response
from tests.fakes import make_prompt
from tests.growth import assert_linear

GOOD = "<think>a</think><answer>4</answer>"
CODE = replace(make_prompt(), check=CodeTests(language="python", cases=(StdioCase("", "1\n"),)))


def response(text: str, *, num_tokens: int | None = None, max_tokens: int | None = None) -> Response:
    return Response(text, finished=True, num_tokens=num_tokens, max_tokens=max_tokens)


@pytest.mark.parametrize(
    ("text", "penalty"),
    [
        ("", 0.0),
        ("a b", 0.0),
        ("a b c d e", 0.0),
        ("a b c a b c", -0.25),  # 4 trigrams, 3 distinct
        ("A b c a B C", -0.25),
        ("x " * 12, -0.9),  # 10 trigrams, 1 distinct
        ("好" * 12, -0.9),
        ("wait" * 12, -0.9),
        ("Wait," * 12, -0.9),
        ("hahaha 1000000000 ---------", 0.0),
    ],
)
def test_repeated_trigrams_are_penalised_by_their_share(text: str, penalty: float) -> None:
    assert repetition_penalty(make_prompt(), response(text)) == pytest.approx(penalty)


def test_the_size_of_the_n_grams_and_of_the_penalty_can_be_chosen() -> None:
    assert repetition_penalty(make_prompt(), response("a a a"), n=1, max_penalty=-0.3) == pytest.approx(-0.2)
    with pytest.raises(ValueError, match="n is 0"):
        ngram_repetition(["a"], n=0)


@given(st.text(max_size=200), st.integers(1, 5))
def test_the_repetition_penalty_is_between_minus_1_and_0(text: str, n: int) -> None:
    assert -1.0 <= repetition_penalty(make_prompt(), response(text), n=n) <= 0.0


def test_the_cache_is_a_fifth_of_the_limit_unless_it_is_given() -> None:
    assert soft_overlong(make_prompt(), response("", num_tokens=18432, max_tokens=20480)) == -0.5
    assert soft_overlong(make_prompt(), response("", num_tokens=90, max_tokens=100), cache_tokens=50) == pytest.approx(
        -0.8
    )
    assert soft_overlong(make_prompt(), response("", num_tokens=1, max_tokens=1)) == -1.0


def test_a_length_that_is_not_known_is_an_error_and_no_reward() -> None:
    with pytest.raises(ValueError, match="number of tokens"):
        soft_overlong(make_prompt(), response("x"))


@pytest.mark.parametrize(
    ("is_correct", "num_tokens", "reward"),
    [
        (True, 0, 2.0),
        (True, 50, 1.5),
        (True, 25, 1.0 + 0.5 * (1 + 0.5**0.5)),
        (False, 0, -10.0),
        (False, 50, -5.0),
        (True, 100, -10.0),
        (False, 100, -10.0),
        (True, 101, -10.0),
    ],
)
def test_the_cosine_reward_runs_between_its_published_ends(is_correct: bool, num_tokens: int, reward: float) -> None:
    assert cosine_length(is_correct, num_tokens, 100) == pytest.approx(reward)


@given(st.integers(0, 98))
def test_a_short_right_answer_and_a_long_wrong_one_are_worth_more(num_tokens: int) -> None:
    assert cosine_length(True, num_tokens, 100) > cosine_length(True, num_tokens + 1, 100)
    assert cosine_length(False, num_tokens, 100) < cosine_length(False, num_tokens + 1, 100)
    assert cosine_length(True, num_tokens, 100) > cosine_length(False, num_tokens, 100)


def test_the_cosine_reward_needs_a_limit() -> None:
    with pytest.raises(ValueError, match="max_tokens"):
        cosine_length(True, 0, 0)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (GOOD, 1.0),
        ("", 0.0),
        ("<think>a</think>", 0.5),
        ("</answer><answer></think><think>", 1.0),
        ("<think></think>" * 70 + "<answer>4</answer>", 0.5),
        ("<Think>a</Think>", 0.0),
    ],
)
def test_each_tag_that_is_there_once_is_worth_a_quarter(text: str, value: float) -> None:
    assert tag_count(make_prompt(), response(text)) == value


def test_the_tag_that_the_template_wrote_counts() -> None:
    opened = replace(make_prompt(), text="Assistant: <think>\n")
    assert tag_count(opened, response("a</think><answer>4</answer>")) == 1.0
    assert tag_count(opened, response(GOOD)) == 0.75


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("<think>a</think><answer>\n```python\nprint(1)\n```\n</answer>", 1.0),
        ("<think>a</think>\n```py\nprint(1)\n```", 1.0),
        ("```Python\nprint(1)\n```", 1.0),
        ("<think>a</think><answer>\n```python\nprint(1)\n</answer>", 0.0),
        ("<think>a</think><answer>\n```\nprint(1)\n```\n</answer>", 0.0),
        ("<think>a</think><answer>\n```cpp\nint main(){}\n```\n</answer>", 0.0),
        ("<think>a</think><answer>\n```python\n\n```\n</answer>", 0.0),
        ("<think>\n```python\nprint(1)\n```\n</think><answer>above</answer>", 0.0),
        ("<think>\n```python\nprint(1)\n```\n", 0.0),
        ("print(1)", 0.0),
    ],
)
def test_the_answer_has_to_hold_a_closed_fence_of_the_language(text: str, value: float) -> None:
    assert code_format(CODE, response(text)) == value


def test_reasoning_that_the_template_opened_is_not_the_answer() -> None:
    opened = replace(CODE, text="Assistant: <think>")
    assert code_format(opened, response("\n```python\nprint(1)\n```\n")) == 0.0
    assert code_format(opened, response("a</think>\n```python\nprint(1)\n```\n")) == 1.0


def test_prompts_that_are_not_about_code_get_no_code_format() -> None:
    assert code_format(make_prompt(), response("```python\nprint(1)\n```")) == 0.0


@pytest.mark.parametrize(
    ("unit", "size"), [("```python\n", 10**5), ("<think>", 10**5), ("a ", 5 * 10**5), ("a", 10**6), ("好", 10**6)]
)
def test_time_is_linear_in_hostile_text(unit: str, size: int) -> None:
    def work(text: str) -> None:
        for reward in (repetition_penalty, tag_count, code_format):
            reward(CODE, response(text))

    assert_linear(work, lambda number: unit * number, size)
