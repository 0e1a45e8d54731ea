"""The number that a plain answer ends on: what a strict reader takes for the answer, and what he does not."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from r1ray.checks import FormatOnly
from r1ray.config import RewardConfig, SandboxConfig
from r1ray.reward.last_number import given_number, last_number, number_problem
from r1ray.reward.scorer import RewardScorer, resolve_parts
from r1ray.types import Response, Scored, Unscorable
from tests.fakes import make_prompt
from tests.growth import assert_linear


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        # as chat models say it
        ("56", "56"),
        ("7 * 8 = 56.", "56"),
        ("The answer is 16", "16"),
        ("8 * 2 equals 16.", "16"),
        ("56!", "56"),
        ("The product of 7 and 8 is 56.", "56"),
        ("16 is the sum of the two numbers.", "16"),
        ("Max has 11 cards and gives away 5 cards, so Max has 11 - 5 = 6 cards left.", "6"),
        ("4 x 6 = 24\n24 - 2 = 22\nThe remaining cookies are 22.", "22"),
        ("No, it is 16.", "16"),
        ("What is 7 * 8?\n\n56", "56"),
        ("5 * 6 = 30 (thirty)", "30"),
        ("The sum is 15 (7 + 8 = 15).", "15"),
        ("(8 * 2) = (16)", "16"),
        ("It is not 15 but 16.", "16"),
        ("7 * 8 = 54. No, 7 * 8 = 56.", "56"),
        ("答案是56。", "56"),
        # markup
        ("**56**", "56"),
        ("7 * 8 = *56*", "56"),
        ("<b>56</b>", "56"),
        ("`56`", "56"),
        ("_56_", "56"),
        (r"\therefore 56", "56"),
        (r"\underline{56}", "56"),
        (r"So it is $\boxed{56}$.", "56"),
        (r"\(7 \times 8 = 56\)", "56"),
        ("<think>3</think><answer>16</answer>", "16"),
        ("<think>3</think>The answer is 16.", "16"),
        # the same number, written in another way
        ("16.0", "16"),
        ("016", "16"),
        ("+16", "16"),
        ("1,234", "1234"),
        (r"1{,}234", "1234"),
        ("The total is $1,234.50.", "1234.5"),
        ("-16", "-16"),
        ("\u221216", "-16"),
        ("8 - 24 = -16", "-16"),
        ("The answer is minus 16.", "-16"),
        ("25%", "0.25"),
        ("1/2", "0.5"),
        (r"\frac{1}{2}", "1/2"),
        ("16 thousand", "16000"),
        ("\uff11\uff16", "16"),
        # units
        ("56 cookies", "56"),
        ("$56", "56"),
        ("56cm", "56"),
        ("56°", "56"),
        ("56 cm²", "56"),
        (r"56\,\text{m}^2", "56"),
        # equations
        ("56 = 7 * 8", "56"),
        ("7 x 8 = 56", "56"),
        ("7 * 8\n= 56", "56"),
        ("4² = 16", "16"),
        ("2**3 = 8", "8"),
        ("x = 16", "16"),
        ("5 apples + 3 apples = 8 apples", "8"),
        ("8 + 4 = 12, 12 + 3 = 15", "15"),
        ("7 + 8 -> 15", "15"),
        # lists, labels and dashes
        ("1. 7 * 8 = 56", "56"),
        ("1. 7 * 8 = 56\n2.", "56"),
        ("Step 1: 7 * 8 = 56", "56"),
        ("The equation 7 * 8 = 56", "56"),
        ("The problem 7 * 8 is...56", "56"),
        ("No.16", "16"),
        ("- 56", "56"),
        ("7 * 8 = 56\n- That is the product", "56"),
        ("56 - that is it", "56"),
        ("56\n56", "56"),
        ("40 + 36 = 76, and 76 is it", "76"),
        ("1.", "1"),
    ],
)
def test_an_honest_right_answer_is_paid(text: str, answer: str) -> None:
    score = last_number(make_prompt(answer=answer), Response(text, finished=True))
    assert (score.value, score.label) == (1.0, "correct"), score.detail


@pytest.mark.parametrize("text", ["7 * 8 = 15.", "-16", "16.5", "1.6", "160", "16%", "1/16", "16 hundred", "16,000"])
def test_another_number_is_wrong_and_not_paid(text: str) -> None:
    score = last_number(make_prompt(answer="16"), Response(text, finished=True))
    assert score.value == 0.0


HACKS = {
    "denied after": [
        "8 * 2 = 16 is incorrect.",
        "16? No",
        "16 (wrong)",
        "16, no, wait",
        "16... just kidding",
        "16. Oh no!",
        "16. Wait, that was a guess",
        "16. That is not right.",
        "16 isn't it",
        "16不对",
    ],
    "denied before": [
        "It is not 16",
        "The answer is not 16.",
        "The answer isn\u2019t 16",
        "8 * 2 cannot be 16",
        "It is false that 8 * 2 = 16",
        "It is not true that 8 times 2 equals 16",
        "The wrong answer is 16.",
        "neither 15 nor 16",
        "anything but 16",
        "There is no 16",
        "8 * 2 ≠ 16",
        "8 * 2 != 16",
        r"8 * 2 \neq 16",
        "The answer is not\n\n16",
        "不是16",
    ],
    "several": [
        "15 or 16",
        "either 15 cookies or 16",
        "It is 15. Or 16.",
        "it may be 15 or it may be 16",
        "15, 16",
        "15\n16",
        "14. 15. 16",
        "15 and 16",
        "between 15 and 16",
        "15 to 16",
        "15-16",
        "15/16 or 16",
        "[15, 16]",
        "16 or so",
        "16 or fifteen",
    ],
    "asked": ["16?", "Is it 16?", "What is 1 * 16?"],
    "a bound": ["more than 16", "at least 16", "about 16", "up to 16", "≈ 16", "~16", "> 16", r"\leq 16", "x < 16"],
    "an operand": [
        "1 * 16",
        "0 + 16",
        "0 + 16 =",
        "1 times 16",
        "0 plus 16",
        "If you add 0 to 16",
        "the sum of 0 and 16",
    ],
    "another number of it": [
        "16 squared",
        "16^2",
        "16²",
        "half of 16",
        "16 and a half",
        "16 tenths",
        "½16",
        r"\sqrt{16}",
        "sqrt(16)",
        "f(16)",
        r"\phantom{16}",
        "3 1/16",
        "256/16",
    ],
    "an equation that is wrong or unknown": [
        "3 + 4 = 16",
        "16 = 7 * 2",
        "3 = 16",
        "x + 9 = 16",
        "x + 16",
        "2x = 16",
        "x^2 = 16",
    ],
    "no number": ["", "16th", "x16", "16x", "16:30", "16/05/2024", "1.2.16", "v16", "0x16", "16k", "16e0", "catch-16"],
    "something of it": ["16's square root", "the opposite of 16", "the absolute value of 16", "-|16|"],
    "no answer": ["sixteen", "<think>16", "16 comes after 15", "16. That took 2 steps"],
}


@pytest.mark.parametrize(
    "text", [pytest.param(text, id=f"{kind}: {text}") for kind, texts in HACKS.items() for text in texts]
)
def test_what_a_strict_reader_does_not_take_for_the_answer_is_not_paid(text: str) -> None:
    assert last_number(make_prompt(answer="16"), Response(text, finished=True)).value == 0.0


@pytest.mark.parametrize(
    "text", ["|-7|", r"\boxed{|-7|}", r"\left|-7\right|", r"\lvert -7\rvert", r"\|-7\|", "The absolute value of -7."]
)
def test_the_absolute_value_of_a_negative_number_is_not_the_number(text: str) -> None:
    assert last_number(make_prompt(answer="-7"), Response(text, finished=True)).value == 0.0
    assert last_number(make_prompt(answer="7"), Response("|7|", finished=True)).value == 1.0


@pytest.mark.parametrize("opening", ["<think>", "<|reasoning|>"])
@pytest.mark.parametrize("text", ["so it is 16", "so <answer>16</answer> hm", r"so it is \boxed{16}"])
@pytest.mark.parametrize("is_finished", [True, False])
def test_reasoning_that_never_ends_holds_no_number(opening: str, text: str, is_finished: bool) -> None:
    opened = replace(make_prompt(answer="16"), text=f"How many?\n{opening}\n")
    assert last_number(opened, Response(text, finished=is_finished)).value == 0.0
    assert last_number(make_prompt(answer="16"), Response(opening + text, finished=is_finished)).value == 0.0


def test_a_sign_in_front_of_a_name_is_no_minus() -> None:
    assert given_number("catch-22").value is None


def test_a_number_at_the_very_end_of_a_text_that_was_cut_is_not_known() -> None:
    assert given_number("7 * 8 = 5", is_finished=False).value is None
    assert given_number("7 * 8 = 56, which", is_finished=False).value == 56
    assert given_number("<answer>56</answer>", is_finished=False).value == 56


def test_a_wrong_equation_votes_for_what_it_claims_unless_that_is_right() -> None:
    prompt, wrong, lucky = make_prompt(answer="16"), "8 * 2 = 18", "8 * 3 = 16"
    scores = [last_number(prompt, Response(text, finished=True)) for text in (wrong, lucky)]
    assert [(score.value, score.label, score.extracted) for score in scores] == [
        (0.0, "wrong", "18"),
        (0.0, "no_answer", None),
    ]


def test_a_refusal_gives_no_answer_to_a_vote_and_a_wrong_number_gives_it() -> None:
    refused, wrong = (
        last_number(make_prompt(answer="16"), Response(text, finished=True)) for text in ("not 16", "It is 15.50")
    )
    assert (refused.label, refused.extracted, refused.detail) == ("no_answer", None, "it is denied")
    assert (wrong.label, wrong.extracted) == ("wrong", "31/2")


SENTENCES = st.sampled_from(["{}", "The answer is {}.", "It equals **{}**", "So we have {} cookies.", "= {}"])
NUMBERS = st.integers(-10_000, 10_000)


@given(st.text(st.characters(exclude_categories=["Nd", "No"])))
def test_a_text_without_digits_is_not_paid(text: str) -> None:
    assert last_number(make_prompt(answer="0"), Response(text, finished=True)).value == 0.0


PIECES = [*"0123456789+-*/^=()., \n?!%xX:'\\${}[]<>~", " not ", " or ", "frac", "\u00b2", "\u00bd", "不"]


@given(st.lists(st.sampled_from(PIECES)))
def test_nothing_is_raised_and_what_is_extracted_is_read_as_the_same_number(pieces: list[str]) -> None:
    score = last_number(make_prompt(answer="7"), Response("".join(pieces), finished=True))
    assert score.value in (0.0, 1.0)
    if score.extracted is not None:
        assert given_number(score.extracted).value == Fraction(score.extracted)


@given(SENTENCES, NUMBERS, NUMBERS)
def test_only_the_right_number_is_paid(sentence: str, number: int, reference: int) -> None:
    score = last_number(make_prompt(answer=str(reference)), Response(sentence.format(number), finished=True))
    assert score.value == float(number == reference)
    assert score.extracted == str(number)


@given(
    SENTENCES, NUMBERS, st.sampled_from(["{:,}", "{}.0", "{}.00", "**{}**", "${}$", "\\boxed{{{}}}", " {} ", "({})"])
)
def test_how_a_number_is_written_does_not_matter(sentence: str, number: int, form: str) -> None:
    assert given_number(sentence.format(form.format(number))).value == number


@given(
    SENTENCES,
    NUMBERS,
    st.sampled_from([" is incorrect.", " is wrong", "? No", " (not true)", ", no", " isn't right", "错了", " or not"]),
)
def test_a_denial_behind_it_takes_the_pay_away(sentence: str, number: int, denial: str) -> None:
    assert given_number(sentence.format(number)).value == number
    assert given_number(sentence.format(number) + denial).value is None


@given(st.sampled_from(["It is not {}", "It isn't {}", "never {}", "The wrong answer is {}", "不是{}"]), NUMBERS)
def test_a_denial_in_front_of_it_takes_the_pay_away(sentence: str, number: int) -> None:
    assert given_number(sentence.format(number)).value is None


@example(1, 0, ". Or ")
@example(-1, 1, ", ")
@given(NUMBERS, NUMBERS, st.sampled_from([" or ", ", ", " and ", "\n", " to ", "; ", " | ", ". Or ", "/"]))
def test_two_candidates_are_no_answer(one: int, other: int, between: str) -> None:
    found = given_number(f"{one}{between}{other}").value
    assert found is None or one == other or between == "/"
    assert found != other or one == other


@given(st.integers(0, 99), st.integers(0, 99), st.sampled_from("+-*"))
def test_the_question_said_again_is_no_answer(left: int, right: int, operator: str) -> None:
    assert given_number(f"{left} {operator} {right}").value is None
    assert given_number(f"What is {left} {operator} {right}?").value is None
    assert given_number(f"{left} {operator} {right} =").value is None


@pytest.mark.parametrize("unit", ["1 = ", "(", ")", "- ", "not ", "or 1 ", "but ", "1, ", "? ", "1 + "])
def test_a_long_text_takes_linear_time(unit: str) -> None:
    assert_linear(given_number, lambda number: unit * number, 30_000)


@pytest.mark.parametrize("reference", ["x + 1", "15 or 16", "\\pi", "", "(1, 2)", "Monday"])
def test_a_reference_that_is_no_number_cannot_be_scored(reference: str) -> None:
    scorer = RewardScorer(RewardConfig(parts={"last_number": {}}), SandboxConfig())
    try:
        outcome, _ = asyncio.run(scorer.outcome(make_prompt(answer=reference), Response("16", finished=True)))
    finally:
        scorer.close()
    assert isinstance(outcome, Unscorable)


def test_prompts_without_an_answer_to_compare_with_do_not_have_it() -> None:
    (part,) = resolve_parts(RewardConfig(parts={"last_number": {}}))
    assert [check for check in ("math", "code", "choice", "format") if part.applies_to("any", check)] == ["math"]
    assert last_number(replace(make_prompt(), check=FormatOnly()), Response("16", finished=True)).value == 0.0


def test_the_scorer_knows_it_and_its_answers_are_voted_on_as_numbers() -> None:
    scorer, prompt = RewardScorer(RewardConfig(parts={"last_number": {}}), SandboxConfig()), make_prompt(answer="0.5")
    try:
        outcomes = [
            asyncio.run(scorer.outcome(prompt, Response(text, finished=True)))
            for text in ("It is 1/2.", "0.50", "It is 3", "not 1/2")
        ]
        assert outcomes[0][0] == Scored(1.0, {"last_number": 1.0}, label="correct")
        assert asyncio.run(scorer.classes(prompt, [answer for _, answer in outcomes])) == (0, 0, 2, None)
    finally:
        scorer.close()


@pytest.mark.parametrize(
    "text",
    [
        *("3\\text{ score}", "3\\text{ tens}", "3 per thousand", "3\\text{ below zero}", "3\\text{ root}"),
        *(
            "3分之一",
            "3的一半",
            "3以上",
            "大于3",
            "至少3",
            "[3,\\infty)",
            "\\angle A+\\angle B=3",
            "A+B=3",
        ),
        *("-\\text{3}", "-$3", "-**3**", "-{3}", "-\\left(3\\right)", "The answer is -\\left(3\\%\\right)."),
    ],
)
def test_a_number_that_something_is_made_of_is_not_given(text: str) -> None:
    assert given_number(text).value != 3


@pytest.mark.parametrize(
    ("text", "value"),
    [("-\\frac{1}{3}", Fraction(-1, 3)), ("-\\boxed{5}", -5), ("-$5", -5), ("- 5", 5), ("- $5", 5), ("7 per day", 7)],
)
def test_a_sign_belongs_to_a_number_in_markup_and_a_bullet_does_not(text: str, value: Fraction | int) -> None:
    assert given_number(text).value == value


@pytest.mark.parametrize("reference", ["5!!", "5!", "x=1,y=2", "1, 2", "7 * 8 = 56"])
def test_a_reference_of_several_numbers_is_none(reference: str) -> None:
    assert number_problem(reference) is not None


@pytest.mark.parametrize("reference", ["5", "-3", "1/2", "$18", "5\\%", "1,234", "x=5", "56 cookies", "\\frac{1}{3}"])
def test_a_plain_number_is_a_reference(reference: str) -> None:
    assert number_problem(reference) is None
