from __future__ import annotations

import asyncio
import math

import pytest

from r1ray.config import RewardConfig, RewardPart
from r1ray.errors import UserError
from r1ray.reward.scorer import RewardScorer
from r1ray.types import Prompt, Response, Scored, ScoringFailed, Unscorable
from tests.fakes import make_completion, make_prompt

GOOD = Response("<think>2+2</think><answer>4</answer>", finished=True)


def crash(prompt: Prompt, response: Response) -> float:
    raise RecursionError("the model's text did this")


def infinite(prompt: Prompt, response: Response) -> float:
    return math.inf


def test_the_total_is_the_weighted_sum_and_every_part_is_kept() -> None:
    parts = {"accuracy": RewardPart(2.0), "format": RewardPart(0.5)}
    outcome = RewardScorer(RewardConfig(parts=parts)).outcome(make_prompt(), GOOD)
    assert outcome == Scored(2.5, {"accuracy": 1.0, "format": 1.0})


def test_a_part_of_weight_zero_is_only_logged() -> None:
    parts = {"accuracy": RewardPart(1.0), "format": RewardPart(0.0)}
    outcome = RewardScorer(RewardConfig(parts=parts)).outcome(make_prompt("p", "5"), GOOD)
    assert outcome == Scored(0.0, {"accuracy": 0.0, "format": 1.0})


@pytest.mark.parametrize("name", ["crash", "infinite"])
def test_a_reward_function_that_fails_on_a_text_scores_zero_and_is_counted(name: str) -> None:
    parts = {"accuracy": RewardPart(), "mine": RewardPart(1.0, f"tests.reward.test_scorer:{name}")}
    outcome = RewardScorer(RewardConfig(parts=parts)).outcome(make_prompt(), GOOD)
    assert outcome == Scored(1.0, {"accuracy": 1.0, "mine": 0.0}, ("mine",))


def unreachable(prompt: Prompt, response: Response) -> float:
    raise ConnectionError("the judge does not answer")


def test_an_error_of_a_service_is_never_a_zero() -> None:
    parts = {"accuracy": RewardPart(), "mine": RewardPart(1.0, "tests.reward.test_scorer:unreachable")}
    outcome = RewardScorer(RewardConfig(parts=parts)).outcome(make_prompt(), GOOD)
    assert outcome == ScoringFailed("reward part mine: ConnectionError: the judge does not answer")


def test_a_prompt_without_a_reference_is_unscorable_not_zero() -> None:
    outcome = RewardScorer(RewardConfig()).outcome(make_prompt(answer=" "), GOOD)
    assert isinstance(outcome, Unscorable)


def test_a_verdict_tells_the_controller_what_it_needs() -> None:
    completion = make_completion(index=3, num_tokens=5, version=7, text=GOOD.text)
    (verdict,) = asyncio.run(RewardScorer(RewardConfig()).score(make_prompt(), (completion,)))
    assert (verdict.index, verdict.num_tokens, verdict.num_prompt_tokens) == (3, 5, 2)
    assert (verdict.oldest_version, verdict.extracted, verdict.truncated) == (7, "4", False)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"beauty": RewardPart()}, "reward.parts.beauty: no such reward; needs one of accuracy, format"),
        ({"x": RewardPart(1.0, "nowhere:f")}, "reward.parts.x.function=nowhere:f: needs package.module:function"),
        ({"x": RewardPart(1.0, "math:pi")}, "pi is not a function"),
        ({"x": RewardPart(1.0, "math")}, "reward.parts.x.function=math"),
    ],
)
def test_a_part_that_does_not_exist_is_refused_at_the_start(part: dict[str, RewardPart], message: str) -> None:
    with pytest.raises(UserError, match=message):
        RewardScorer(RewardConfig(parts=part))
