"""The battery of a prompt: everything in it is wrong, and it reaches the kinds that were found."""

from __future__ import annotations

import pytest

from r1ray.checks import (
    Check,
    Choice,
    CodeTests,
    Countdown,
    FormatOnly,
    Instructions,
    MathAnswer,
    Reading,
    Rule,
    StdioCase,
)
from r1ray.reward.audit.attempt import FORM
from r1ray.reward.audit.battery import battery, right_responses, wrong_countdown, wrong_math
from r1ray.reward.audit.prompts import built_in_prompts
from r1ray.reward.countdown import countdown_score
from r1ray.reward.format import format_reward
from r1ray.types import Prompt, Response

CHECKS: list[Check] = [
    MathAnswer("42"),
    MathAnswer("x^2"),
    Choice("B", 4),
    Reading((("1861",),)),
    Countdown((44, 19, 35), 28),
    Instructions((Rule("punctuation:no_comma", "{}"),)),
    FormatOnly(),
    CodeTests(language="python", cases=(StdioCase("1\n", "2\n"), StdioCase("2\n", "3\n"))),
    CodeTests(language="cpp", cases=(StdioCase("1\n", "2\n"),)),
]


def prompt_of(check: Check, *, text: str = "What is it?") -> Prompt:
    return Prompt(id="1", text=text, check=check, domain="", language="en")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: type(check).__name__)
@pytest.mark.parametrize("text", ["What is it?", "What is it?\n<think>\n", ""])
def test_every_check_has_a_battery_without_repetitions_and_the_same_for_a_seed(check: Check, text: str) -> None:
    prompt = prompt_of(check, text=text)
    attempts = battery(prompt, seed=3)
    assert len(attempts) >= 10 and attempts == battery(prompt, seed=3)
    assert len({(each.text, each.is_finished) for each in attempts}) == len(attempts)


@pytest.mark.parametrize("text", ["What is it?", "What is it?\n<think>\n"])
def test_what_lacks_the_form_lacks_it_and_tagged_answers_have_it(text: str) -> None:
    prompt = prompt_of(MathAnswer("42"), text=text)
    for each in battery(prompt, seed=0):
        if set(FORM) & set(each.lacks):
            assert format_reward(prompt, Response(each.text, each.is_finished)) == 0.0, each
        elif each.kind in ("form alone", "injected", "in the reasoning alone"):
            assert format_reward(prompt, Response(each.text, True)) == (
                0.0 if each.text.count("<answer>") > 1 else 1.0
            ), each


def test_orders_that_happen_to_have_the_reference_are_left_out() -> None:
    texts = [each.text for each in battery(prompt_of(MathAnswer("True")), seed=0) if each.kind == "injected"]
    assert texts and not any("true" in text.lower() for text in texts)


@pytest.mark.parametrize("numbers", [(44, 19, 35), (7,), (2, 2), (0,)])
@pytest.mark.parametrize("target", [28, 98, 7, 4, 0])
def test_wrong_expressions_are_paid_nothing(numbers: tuple[int, ...], target: int) -> None:
    check = Countdown(numbers, target)
    for answers in wrong_countdown(check).values():
        for answer in answers:
            assert countdown_score(check, f"<answer>{answer}</answer>").value == 0.0, answer


def test_right_responses_are_known_where_the_check_says_the_answer() -> None:
    assert all("42" in text for text in right_responses(prompt_of(MathAnswer("42"))))
    assert right_responses(prompt_of(CHECKS[-1])) == []


def test_every_kind_of_wrong_mathematics_comes_up_in_the_built_in_prompts() -> None:
    references = [prompt.check.answer for prompt in built_in_prompts() if isinstance(prompt.check, MathAnswer)]
    found = {kind for reference in references for kind in wrong_math(reference)}
    assert len(found) == 22 and len({prompt.id for prompt in built_in_prompts()}) == len(built_in_prompts())
