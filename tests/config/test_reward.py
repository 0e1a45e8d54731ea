"""Reward, verifier and judge: what cannot work is refused with the value found, the value needed and the key."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from r1ray.config import EvaluationConfig, JudgeConfig, RewardConfig


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RewardConfig(parts={"a": 1}), "reward.parts.a=1: needs an object"),
        (
            lambda: RewardConfig(parts={"a": {"wait": 1}}),
            "reward.parts.a.wait: no such key; needs one of weight,",
        ),
        (lambda: RewardConfig(parts={"a": {"weight": "x"}}), "reward.parts.a.weight=x: needs a number"),
        (lambda: RewardConfig(parts={"a": {"domains": "math"}}), "reward.parts.a.domains=math: needs a list"),
        (
            lambda: RewardConfig(parts={"a": {"from_environment": 1}}),
            "reward.parts.a.from_environment=1: needs true",
        ),
        (lambda: RewardConfig(parts={"a": {"from_step": 1.5}}), "reward.parts.a.from_step=1.5: needs a number of a"),
        (lambda: RewardConfig(models={"a": "m"}), "reward.models.a=m: needs an object such as"),
        (lambda: RewardConfig(models={"a": {"see": "x"}}), "reward.models.a.see: no such key; needs one of model,"),
        (lambda: RewardConfig(models={"a": {"sees": "x"}}), "reward.models.a.sees=x: needs one of summary, response"),
        (lambda: RewardConfig(models={"a": {"num_actors": 0}}), "reward.models.a.num_actors=0: needs 1 to 65536"),
        (lambda: RewardConfig(models={"a": {"threads": "x"}}), "reward.models.a.threads=x: needs a number"),
        (lambda: RewardConfig(models={"a": {"model": 7}}), "reward.models.a.model=7: needs a text"),
    ],
)
def test_contradictions_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://me:s3cret@host:8000/v1", "a user or password"),
        ("https://s3cret@host/v1", "a user or password"),
        ("https://host/v1?api-key=s3cret", "a query"),
        ("https://host/v1#s3cret", "a fragment"),
    ],
)
def test_credentials_in_an_address_are_refused_and_not_repeated(url: str, found: str) -> None:
    with pytest.raises(
        ValueError, match=rf"judge\.url has {found} in it.* variable MY_KEY \(judge\.api_key_env\)"
    ) as no:
        JudgeConfig(model="m", url=url, api_key_env="MY_KEY")
    assert "s3cret" not in str(no.value)
    assert JudgeConfig(model="m", url="http://host:8000/v1").url == "http://host:8000/v1"


def test_a_part_counts_from_its_step_on() -> None:
    reward = RewardConfig(parts={"accuracy": {}, "helpful": {"weight": 0.5, "from_step": 1301}})
    assert reward.weights_at(1300) == {"accuracy": 1.0}
    assert reward.weights_at(1301) == {"accuracy": 1.0, "helpful": 0.5}


@pytest.mark.parametrize(
    "url", ["", "host:8000/v1", "ftp://host/v1", "http://", "http://[::1/v1", "http://host:99999/v1"]
)
def test_a_judges_address_is_looked_at_before_anything_starts(url: str) -> None:
    with pytest.raises(ValueError, match=r"^judge.url.*: .*needs the address of a service, as http://host:8000/v1\.$"):
        JudgeConfig(model="m", url=url)


def test_an_evaluation_serves_no_preference_models() -> None:
    reward = RewardConfig(parts={"helpful": {}}, models={"helpful": {"model": "m"}})
    with pytest.raises(ValueError, match=r"^reward.models.helpful: only reinforcement learning serves it"):
        EvaluationConfig(model="m", benchmarks="b", data="d", reward=reward)
