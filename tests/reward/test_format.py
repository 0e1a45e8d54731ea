from __future__ import annotations

import time

import pytest

from r1ray.reward.format import format_reward, sections
from r1ray.types import Response
from tests.fakes import make_prompt

GOOD = "<think>2+2=4</think><answer>4</answer>"


@pytest.mark.parametrize(
    "text", [GOOD, GOOD.replace("><", ">\n<"), f" \n{GOOD}\n", "<think>a</think>\n\n<answer>x\ny</answer>"]
)
def test_both_tags_once_and_in_order(text: str) -> None:
    assert format_reward(make_prompt(), Response(text, finished=True)) == 1.0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4",
        "<think></think><answer>4</answer>",
        "<think> \n</think><answer>4</answer>",
        "<think>a</think> so <answer>4</answer>",
        "well <think>a</think><answer>4</answer>",
        "<think>a</think><answer>4</answer> bye",
        "<answer>4</answer><think>a</think>",
        "<think>a<answer>4</answer>",
        "<think>a</think><answer>4",
        "<think><think>a</think></think><answer>4</answer>",
        "<think>a</think><answer><answer>4</answer></answer>",
        "<Think>a</Think><Answer>4</Answer>",
        f"{GOOD}{GOOD}",
        "<think>a<answer>3</answer></think><answer>4</answer>",
    ],
)
def test_anything_else_earns_nothing(text: str) -> None:
    assert format_reward(make_prompt(), Response(text, finished=True)) == 0.0


def test_an_output_that_the_length_limit_cut_earns_nothing() -> None:
    assert format_reward(make_prompt(), Response(GOOD, finished=False)) == 0.0


def test_time_is_linear_in_hostile_text() -> None:
    start = time.monotonic()
    for text in ("<think>" * 10**5, "</thinka" * 10**5, "<think>" + "a</think" * 10**5):
        assert sections(text) is None
    assert time.monotonic() - start < 1.0
