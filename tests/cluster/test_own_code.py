"""Reward functions of the user's that end their process or never return, on real reward actors."""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
import ray

from r1ray.cluster.host import Handle, host, import_path
from r1ray.cluster.scorers import RewardWorkers, ScorerPool
from r1ray.config import RewardConfig, SandboxConfig
from r1ray.types import Outcome, Prompt, Response, Scored, ScoringFailed
from tests.fakes import make_prompt, make_trajectory

pytestmark = [pytest.mark.real, pytest.mark.faults]
ENV: dict[str, Any] = {"num_cpus": 0, "runtime_env": {"env_vars": import_path() | {"OMP_NUM_THREADS": "1"}}}


def deadly(prompt: Prompt, response: Response) -> float:
    """Do what the text says."""
    if response.text == "os._exit":
        os._exit(7)
    if response.text == "segmentation fault":
        ctypes.string_at(0)
    if response.text == "sys.exit":
        sys.exit(7)
    if response.text == "hang":
        time.sleep(3600)
    if response.text == "hold":  # catastrophic, and with the interpreter's lock
        re.match(r"(a+)+$", "a" * 64 + "b")
    return 0.5


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


def scored(texts: list[str], *, quiet_s: float = 30.0, deadline_s: float = 30.0) -> list[Outcome]:
    """Score responses at the same time, on two reward actors that are replaced as in a run."""
    part = {"function": "tests.cluster.test_own_code:deadly", "deadline_s": deadline_s}
    config = RewardConfig(num_actors=2, parts={"mine": part})
    made: list[Handle] = []

    def spawn(index: int) -> Handle:
        path = "r1ray.reward.scorer:RewardScorer"
        made.append(host(path, config, SandboxConfig(), frozenset[str](), None, None, None, is_async=True, **ENV))
        return made[-1]

    async def scenario() -> list[Outcome]:
        rewards = RewardWorkers([spawn(0), spawn(1)], spawn)
        await asyncio.gather(*(each.alive() for each in made))
        pool = ScorerPool(
            rewards.actors, rewards.replace, deadline_s=quiet_s, max_in_flight=64, suspects=config.suspects()
        )
        rewards.when_replaced(lambda: pool.update(rewards.actors))
        trajectories = [make_trajectory(index=index, text=text) for index, text in enumerate(texts)]
        found = await asyncio.gather(*(pool.score(make_prompt(), each) for each in trajectories))
        return [each.outcome for each in found]

    try:
        return asyncio.run(asyncio.wait_for(scenario(), 100))
    finally:
        for each in made:
            each.kill()


def kinds_of(outcomes: list[Outcome]) -> list[str]:
    return [
        str(outcome.total) if isinstance(outcome, Scored) else outcome.failures[0].kind
        for outcome in outcomes
        if isinstance(outcome, Scored | ScoringFailed)
    ]


def test_a_response_that_ends_its_process_is_given_up_and_the_others_are_scored() -> None:
    outcomes = scored(["fine", "os._exit", "fine", "sys.exit", "fine"])
    assert kinds_of(outcomes) == ["0.5", "ended its process", "0.5", "0.0", "0.5"]
    assert isinstance(outcomes[3], Scored)
    assert outcomes[3].failures[0].message == "SystemExit: 7", "an exit that can be caught is an exception like others"


@pytest.mark.long
def test_a_segmentation_fault_and_a_thread_that_hangs_are_given_up_too() -> None:
    outcomes = scored(["fine", "segmentation fault", "hang", *["fine"] * 20], deadline_s=2.0)
    assert kinds_of(outcomes) == ["0.5", "ended its process", "did not return", *["0.5"] * 20]


@pytest.mark.long
def test_an_actor_that_a_function_holds_is_found_by_its_silence() -> None:
    outcomes = scored(["fine", "hold", "fine"], quiet_s=8.0)
    assert kinds_of(outcomes) == ["0.5", "did not return", "0.5"]
