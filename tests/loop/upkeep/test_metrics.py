from __future__ import annotations

import dataclasses

from r1ray.loop.upkeep.metrics import batch_metrics
from r1ray.rollout.group import FinishedGroup
from r1ray.types import GroupRequest, Outcome, Sampling, Scored, ScoredTrajectory, ScoringFailed
from tests.fakes import Chunk, make_prompt, make_trajectory


def group_of(domain: str, outcomes: list[Outcome], *, num_tokens: int) -> FinishedGroup[Chunk]:
    prompt = dataclasses.replace(make_prompt(), domain=domain)
    completions = [make_trajectory(index=index, num_tokens=num_tokens) for index in range(len(outcomes))]
    trajectories = tuple(
        ScoredTrajectory.of(c, outcome, extracted=None) for c, outcome in zip(completions, outcomes, strict=True)
    )
    request = GroupRequest(occurrence="0/0", prompt=prompt, num_completions=2, sampling=Sampling(1.0, 1.0, 8), seed=0)
    return FinishedGroup(request, (tuple(completions),), (trajectories,), 0.0, 0.0)


BATCH = [
    group_of("math", [Scored(1.0, {"accuracy": 1.0}), Scored(0.0, {"accuracy": 0.0})], num_tokens=10),
    group_of("math", [Scored(1.0, {"accuracy": 1.0}), ScoringFailed("down")], num_tokens=20),
    group_of("general", [Scored(-3.0, {"helpful": -3.0}), Scored(-1.0, {"helpful": -1.0})], num_tokens=4),
]


def test_each_domain_has_its_share_reward_and_length() -> None:
    metrics = batch_metrics(BATCH, 0, domains=["code", "general", "math"])
    assert (metrics["mixture/math"], metrics["mixture/general"], metrics["mixture/code"]) == (2 / 3, 1 / 3, 0.0)
    assert (metrics["reward/domain/math/mean"], metrics["reward/domain/general/mean"]) == (2 / 3, -2.0)
    assert metrics["completion/domain/math/length_mean"] == 15.0
    assert metrics["completion/domain/general/length_mean"] == 4.0
    assert not [name for name in metrics if name.startswith(("reward/domain/code", "completion/domain/code"))]


def test_one_domain_has_no_figures_of_its_own() -> None:
    assert not [name for name in batch_metrics(BATCH[:2], 0, domains=["math"]) if "math" in name]


def test_a_part_is_a_mean_over_those_that_have_it() -> None:
    metrics = batch_metrics(BATCH, 0)
    assert (metrics["reward/accuracy"], metrics["reward/helpful"]) == (2 / 3, -2.0)
    assert metrics["reward/mean"] == (1 + 0 + 1 - 3 - 1) / 5
