"""Checks of the user's own: functions and classes that rows and data.check name, and what they do wrong."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from r1ray.checks import Check, MathAnswer, OwnCheck
from r1ray.config import RewardConfig, RewardPart, SandboxConfig
from r1ray.data.checks import MalformedRow
from r1ray.errors import UserError
from r1ray.reward.check_problems import reference_problem
from r1ray.reward.own_check import load_row_check
from r1ray.reward.scorer import RewardScorer
from r1ray.types import Outcome, Prompt, Response, Score, Scored, ScoringFailed

HERE = __name__
RESPONSE = Response("It is Paris. <answer>Paris</answer>", finished=True)


def contains(check: Mapping[str, Any], response: Response) -> float:
    return float(check["word"] in response.text)


async def contains_later(check: Mapping[str, Any], response: Response) -> Score:
    await asyncio.sleep(0)
    return Score(float(check["word"] in response.text), label="looked_at")


def of_level(check: Mapping[str, Any], response: Response, prompt: Prompt) -> float:
    return float(prompt.columns["level"] == 3)


@dataclass
class Contains:
    word: str

    def __call__(self, response: Response) -> bool:
        return self.word in response.text


class Silent:
    def __init__(self, **data: object) -> None:
        pass


def failing(check: Mapping[str, Any], response: Response) -> float:
    return 1 / 0


def slow(check: Mapping[str, Any], response: Response) -> float:
    time.sleep(0.5)
    return 1.0


def one_argument(check: Mapping[str, Any]) -> float:
    return 1.0


def level(row: Mapping[str, Any]) -> object:
    return {"type": "math", "answer": str(row["level"])} if row["level"] else None


def made(row: Mapping[str, Any]) -> Check:
    return MathAnswer("5")


async def made_later(row: Mapping[str, Any]) -> object:
    return None


def judged(row: Mapping[str, Any], response: Response) -> float:
    return float(row["word"] in response.text)


def own(name: str, data: str = '{"word": "Paris"}') -> OwnCheck:
    return OwnCheck(f"{HERE}:{name}", data)


def outcome(check: Check, part: RewardPart | None = None, **columns: object) -> tuple[Outcome, str | None]:
    async def score() -> tuple[Outcome, str | None]:
        config = RewardConfig(parts={"accuracy": part or RewardPart()})
        scorer = RewardScorer(config, SandboxConfig())
        prompt = Prompt(id="7", text="?", check=check, domain="geo", language="en", columns=columns)
        try:
            return await scorer.outcome(prompt, RESPONSE)
        finally:
            scorer.close()

    return asyncio.run(score())


@pytest.mark.parametrize("name", ["contains", "contains_later", "Contains"])
def test_a_check_of_the_users_own_is_the_accuracy_of_its_prompt(name: str) -> None:
    right, extracted = outcome(own(name))
    wrong, _ = outcome(own(name, '{"word": "Rome"}'))
    assert isinstance(right, Scored) and isinstance(wrong, Scored)
    assert (right.total, wrong.total, extracted) == (1.0, 0.0, "Paris")
    assert right.label == ("looked_at" if name == "contains_later" else "correct")


def test_a_check_reaches_the_columns_of_its_row_through_the_prompt() -> None:
    assert [outcome(own("of_level"), level=level)[0].total for level in (3, 4)] == [1.0, 0.0]  # type: ignore[union-attr]


def test_a_check_that_raises_is_dealt_with_as_a_reward_function_is() -> None:
    found, _ = outcome(own("failing"))
    assert isinstance(found, Scored) and found.total == 0.0
    (failure,) = found.failures
    assert (failure.part, failure.on_error) == ("accuracy", "auto")
    assert "ZeroDivisionError at test_own_check.py" in failure.kind
    found, _ = outcome(own("failing"), RewardPart(on_error="mask"))
    assert isinstance(found, ScoringFailed)


def test_a_check_that_takes_too_long_is_no_zero() -> None:
    with pytest.raises(Exception, match="deadline_s"):
        outcome(own("slow"), RewardPart(deadline_s=0.05))


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (f"{HERE}:nothing", "AttributeError"),
        ("no_such_module:f", "ModuleNotFoundError"),
        (f"{HERE}:one_argument", "is called with"),
        (f"{HERE}:HERE", "is not a function"),
        (f"{HERE}:Silent", "its objects are called"),
        ("os:system", "Python's own modules"),
        ("concurrent.futures:wait", "Python's own modules"),
    ],
)
def test_checks_that_cannot_be_called_are_refused_before_a_run(path: str, said: str) -> None:
    with pytest.raises(UserError, match=f"check.type={path}: .*{said}"):
        reference_problem(OwnCheck(path, "{}"))


def test_a_row_whose_data_a_class_does_not_take_cannot_be_judged() -> None:
    assert reference_problem(own("Contains")) is None
    assert "unexpected keyword argument 'words'" in str(reference_problem(own("Contains", '{"words": "Paris"}')))


def test_data_check_makes_a_check_of_a_row_or_is_the_check() -> None:
    assert load_row_check("data.check", f"{HERE}:level")({"level": 3}) == MathAnswer("3")
    assert load_row_check("data.check", f"{HERE}:level")({"level": 0}) is None
    assert load_row_check("data.check", f"{HERE}:made")({}) == MathAnswer("5")
    check = load_row_check("data.check", f"{HERE}:judged")({"word": "Paris"})
    assert check == own("judged")
    assert outcome(check)[0].total == 1.0  # type: ignore[union-attr]


def test_a_row_of_which_data_check_makes_no_check_is_malformed() -> None:
    with pytest.raises(MalformedRow, match="KeyError: 'level'"):
        load_row_check("data.check", f"{HERE}:level")({})
    with pytest.raises(MalformedRow, match=r"returned .*check needs an object"):
        load_row_check("data.check", f"{HERE}:text_of")({})


def text_of(row: Mapping[str, Any]) -> object:
    return "42"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (f"{HERE}:nothing", "AttributeError"),
        ("no_such_module:f", "ModuleNotFoundError"),
        (f"{HERE}:outcome_of_three", "is called with"),
        (f"{HERE}:made_later", "coroutine"),
        (f"{HERE}:Contains", "is the class"),
    ],
)
def test_functions_that_are_no_data_check_are_refused(path: str, said: str) -> None:
    with pytest.raises(UserError, match=f"data.check={path}: .*{said}"):
        load_row_check("data.check", path)


def outcome_of_three(row: object, response: object, third: object) -> float:
    return 0.0
