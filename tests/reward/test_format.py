from __future__ import annotations

import json
import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1ray.reward.format import (
    TAGS,
    boxed_answer_of_format,
    cold_start_format_reward,
    cold_start_sections,
    format_reward,
    judged_text,
    reasoning_of,
    sections,
)
from r1ray.types import Prompt, Response
from tests.fakes import make_prompt
from tests.growth import assert_linear

PIECES = st.lists(st.sampled_from([*TAGS, "a", " ", "\n", "4", "\\boxed{4}", "<|reasoning|>", "\u200b"]), max_size=12)
GOOD = "<think>2+2=4</think><answer>4</answer>"


@pytest.mark.parametrize(
    "text",
    [
        *(GOOD, GOOD.replace("><", ">\n<"), f" \n{GOOD}\n", "<think>a</think>\n\n<answer>x\ny</answer>"),
        *("<think>\u6240\u4ee5</think><answer>></answer>", "<think>2</think><answer>a < b</answer>"),
    ],
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
        "<think>\u200b\u200c\ufeff</think><answer>4</answer>",
        "<think>\u3164\u2800\u00ad</think><answer>4</answer>",
        "<think>... !? --- $$</think><answer>4</answer>",
        "<think>a</think><answer></answer>",
        "<think>a</think><answer> \u200b\n</answer>",
        "\u200b<think>a</think><answer>4</answer>",
        "<think>a</think>\u200b<answer>4</answer>",
        "< think >a</ think ><answer>4</answer>",
        "\uff1cthink\uff1ea\uff1c/think\uff1e\uff1canswer\uff1e4\uff1c/answer\uff1e",
        "<think></think>" * 70 + "<answer>4</answer>",
        f"{GOOD}\nUser: next? {GOOD}",
        "a</think><answer>4</answer>",
    ],
)
def test_anything_else_earns_nothing(text: str) -> None:
    assert format_reward(make_prompt(), Response(text, finished=True)) == 0.0


def test_an_output_that_the_length_limit_cut_earns_nothing() -> None:
    assert format_reward(make_prompt(), Response(GOOD, finished=False)) == 0.0


@pytest.mark.parametrize(("start", "unit"), [("", "<think>"), ("", "</thinka"), ("<think>", "a</think")])
def test_time_is_linear_in_hostile_text(start: str, unit: str) -> None:
    def work(text: str) -> None:
        assert sections(text) is None

    assert_linear(work, lambda size: start + unit * size, 10**5)


OPENED = replace(make_prompt(), text="User: q\nAssistant: <think>\n")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2+2=4</think> <answer>4</answer>", 1.0),
        ("\n2+2=4\n</think>\n<answer>4</answer>\n", 1.0),
        ("</think><answer>4</answer>", 0.0),
        ("2+2=4<answer>4</answer>", 0.0),
        ("2+2=4</think>4", 0.0),
        (GOOD, 0.0),
    ],
)
def test_the_response_goes_on_where_the_template_opened_the_reasoning(text: str, value: float) -> None:
    assert format_reward(OPENED, Response(text, finished=True)) == value
    assert format_reward(OPENED, Response(text, finished=False)) == 0.0


def test_a_template_that_only_speaks_of_the_tag_opens_nothing() -> None:
    prompt = replace(make_prompt(), text="Put the reasoning into <think> and </think>. Assistant:")
    assert format_reward(prompt, Response(GOOD, finished=True)) == 1.0
    assert format_reward(prompt, Response(GOOD.removeprefix("<think>"), finished=True)) == 0.0


COLD = "<|reasoning|>2+2=4<|reasoning|>It is 4."


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (COLD, 1.0),
        (f"\n{COLD}\n", 1.0),
        ("<|reasoning|>2+2=4", 0.0),
        ("<|reasoning|><|reasoning|>It is 4.", 0.0),
        ("<|reasoning|>\u200b...<|reasoning|>It is 4.", 0.0),
        ("<|reasoning|>2+2=4<|reasoning|>", 0.0),
        ("<|reasoning|>2+2=4<|reasoning|> \u200b", 0.0),
        (f"{COLD}<|reasoning|>", 0.0),
        (f"Sure. {COLD}", 0.0),
        ("2+2=4<|reasoning|>It is 4.", 0.0),
        (GOOD, 0.0),
        ("", 0.0),
    ],
)
def test_the_cold_start_pattern_is_token_reasoning_token_summary(text: str, value: float) -> None:
    assert cold_start_format_reward(make_prompt(), Response(text, finished=True)) == value
    assert cold_start_format_reward(make_prompt(), Response(text, finished=False)) == 0.0


def test_the_template_may_write_the_first_special_token() -> None:
    opened = replace(make_prompt(), text="User: q\nAssistant: <|reasoning|>")
    assert cold_start_format_reward(opened, Response("2+2=4<|reasoning|>It is 4.", finished=True)) == 1.0
    assert cold_start_format_reward(opened, Response(COLD, finished=True)) == 0.0


def test_the_special_token_can_be_another_one() -> None:
    mine = partial(cold_start_format_reward, special_token="|t|")
    assert mine(make_prompt(), Response("|t|2+2=4|t|It is 4.", finished=True)) == 1.0
    assert mine(make_prompt(), Response(COLD, finished=True)) == 0.0


@pytest.mark.parametrize(
    ("prompt", "text", "reasoning"),
    [
        (make_prompt(), GOOD, "2+2=4"),
        (make_prompt(), COLD, "2+2=4"),
        (make_prompt(), "<think>cut", "cut"),
        (make_prompt(), "none", None),
        (make_prompt(), "a</think>b", None),
        (make_prompt(), "<think>a</think>b</think>c", "a</think>b"),
        (OPENED, "a</think><answer>4</answer>", "a"),
        (OPENED, "cut", "cut"),
    ],
)
def test_reasoning_goes_from_its_first_opening_to_its_last_closing(
    prompt: Prompt, text: str, reasoning: str | None
) -> None:
    assert reasoning_of(prompt, Response(text, finished=True)) == reasoning


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>a</think><answer>\\boxed{3}, so \\boxed{4}</answer>", "4"),
        ("<think></think><answer>\\boxed{4}</answer>", "4"),
        ("<think>\\boxed{4}</think><answer>done</answer>", None),
        ("<think>a</think><answer>\\boxed{4</answer>", None),
        ("<think>a</think>\\boxed{4}", None),
    ],
)
def test_the_answer_is_the_last_closed_box_of_the_answer_section(text: str, answer: str | None) -> None:
    assert boxed_answer_of_format(text) == answer


@given(PIECES)
def test_what_earns_the_format_reward_has_each_tag_once(pieces: list[str]) -> None:
    text = "".join(pieces)
    value = format_reward(make_prompt(), Response(text, finished=True))
    assert value in (0.0, 1.0)
    if value:
        assert [text.count(tag) for tag in TAGS] == [1, 1, 1, 1]
        assert sorted(TAGS, key=text.index) == list(TAGS)


@given(PIECES)
def test_the_opening_tag_is_worth_the_same_in_the_prompt_and_in_the_response(pieces: list[str]) -> None:
    text = "".join(pieces)
    in_response = format_reward(make_prompt(), Response(f"<think>{text}", finished=True))
    assert format_reward(OPENED, Response(text, finished=True)) == in_response


def test_cold_start_takes_linear_time() -> None:
    def read(text: str) -> None:
        assert cold_start_sections(text) is None

    def reason(text: str) -> None:
        assert reasoning_of(make_prompt(), Response(text, finished=True)) is not None

    assert_linear(read, lambda size: "<|reasoning|>" * size, 10**5)
    assert_linear(reason, lambda size: "<think>" * size + "</think" * size, 10**5)


@pytest.mark.skipif("R1RAY_CASES" not in os.environ, reason="R1RAY_CASES does not name the folder of acceptance cases")
def test_all_acceptance_cases() -> None:
    lines = (Path(os.environ["R1RAY_CASES"]) / "format_cases.jsonl").read_text(encoding="utf-8").splitlines()
    for case in map(json.loads, lines):
        reward = format_reward(make_prompt(), Response(case["text"], finished=True))
        assert (case["id"], bool(reward)) == (case["id"], case["format_ok"])
        assert (case["id"], boxed_answer_of_format(case["text"])) == (case["id"], case["answer"])


@pytest.mark.parametrize(
    "blank", ["\u2800", "\ufffc", "\ufe0f", "\u034f", "\U0001d159", "\u17b5", "\u2800\ufe0f \u200b"]
)
def test_what_nobody_sees_is_no_answer(blank: str) -> None:
    assert format_reward(make_prompt(), Response(f"<think>2+2=4</think><answer>{blank}</answer>", finished=True)) == 0.0


@pytest.mark.parametrize("opening", ["<think>", "<|reasoning|>"])
def test_the_opening_that_the_prompt_wrote_is_put_back(opening: str) -> None:
    opened = replace(make_prompt(), text=f"What is 3+4?\n{opening}\n")
    assert judged_text(opened, Response("7", finished=True)) == f"{opening}7"
    assert judged_text(make_prompt(), Response("7", finished=True)) == "7"
