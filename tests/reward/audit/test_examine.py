"""What the battery finds: the hole of each planted reward, and none where there is none."""

from __future__ import annotations

import pytest

from r1ray.checks import Check, Choice, FormatOnly, MathAnswer
from r1ray.config import RewardConfig
from r1ray.reward.audit.examine import Audit
from r1ray.types import Prompt
from tests.reward.audit.examined import audit

PLANTED = "tests.reward.audit.planted"


def prompt_of(check: Check, *, text: str = "How many eggs are left of fifty?", domain: str = "math") -> Prompt:
    return Prompt(id="eggs", text=text, check=check, domain=domain, language="en")


def own(name: str, **others: float) -> RewardConfig:
    parts: dict[str, object] = {"mine": {"function": f"{PLANTED}:{name}"}}
    return RewardConfig(parts=parts | {part: {"weight": weight} for part, weight in others.items()})


def kinds(found: Audit, part: str) -> set[str]:
    return {kind for kind, paid_part in found.payments if paid_part == part}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("last_number_anywhere", {"equation of the reference", "denied", "in the reasoning alone"}),
        ("substring", {"several answers", "denied", "unfinished reasoning", "in the reasoning alone"}),
        ("length", {"degenerate"}),
        ("format_alone", {"form alone", "another value", "injected"}),
        ("reads_the_prompt", {"copied"}),
    ],
)
def test_a_weak_reward_is_reported_with_its_kind(name: str, expected: set[str]) -> None:
    found = audit(own(name), prompt_of(MathAnswer("42")))
    assert expected <= kinds(found, "mine")


def test_a_weak_reward_is_reported_beside_others_too() -> None:
    found = audit(own("substring", format=1.0), prompt_of(MathAnswer("42")))
    assert {"several answers", "denied"} <= kinds(found, "mine") and not kinds(found, "format")


def test_a_strict_reward_of_the_users_is_paid_for_nothing_in_no_kind() -> None:
    found = audit(own("exact"), prompt_of(MathAnswer("42")), prompt_of(MathAnswer("-3")))
    assert (found.num_prompts, found.payments) == (2, {})
    assert found.num_responses > 150


def test_a_small_reward_for_form_beside_accuracy_is_no_hole() -> None:
    small = RewardConfig(
        parts={
            "exact": {"function": f"{PLANTED}:exact"},
            "form": {"function": f"{PLANTED}:format_alone", "weight": 0.2},
        }
    )
    found = audit(small, prompt_of(MathAnswer("42")))
    assert found.payments == {} and found.form_share == pytest.approx(1 / 6)


def test_form_that_is_worth_more_than_the_answer_is_a_hole_of_the_total() -> None:
    reward = RewardConfig(parts={"mine": {"function": f"{PLANTED}:exact"}, "format": {"weight": 2.0}})
    found = audit(reward, prompt_of(MathAnswer("42")))
    assert "form alone" in kinds(found, "total") and "empty" not in kinds(found, "total")


def test_an_error_of_a_function_is_counted_and_is_no_payment() -> None:
    found = audit(own("raises_on_nothing"), prompt_of(MathAnswer("42")))
    assert found.payments == {}
    assert any("IndexError" in reason for reason in found.failures)


def test_prompts_without_a_part_of_the_reward_are_left_out() -> None:
    reward = RewardConfig(parts={"accuracy": {"domains": ["stem"]}, "format": {"weight": 0.0}})
    found = audit(reward, prompt_of(MathAnswer("42")), prompt_of(Choice("B", 4), domain="stem"))
    assert found.num_prompts == 1


def test_prompts_that_ask_for_form_alone_get_only_responses_without_it() -> None:
    found = audit(RewardConfig(parts={"format": {}}), prompt_of(FormatOnly()))
    assert found.payments == {} and found.num_responses > 20


@pytest.mark.long
def test_the_same_seed_finds_the_same() -> None:
    first, again = (audit(own("substring"), prompt_of(MathAnswer("42"))) for _ in range(2))
    assert {key: (each.num_responses, each.response) for key, each in first.payments.items()} == {
        key: (each.num_responses, each.response) for key, each in again.payments.items()
    }
