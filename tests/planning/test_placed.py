"""One GPU is for learner and engine in turn, unless something is said of them that this cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from r1ray.config import (
    AlgoConfig,
    DataConfig,
    EvalConfig,
    LearnerConfig,
    RewardConfig,
    RolloutConfig,
    RunConfig,
    SupervisedConfig,
)
from r1ray.errors import UserError
from r1ray.planning.placed import takes_turns, with_placement

NEEDED: dict[str, Any] = {
    "model": "m",
    "data": DataConfig(train="t", eval="e"),
    "supervised": SupervisedConfig(train="t", max_tokens=64),
    "reward": RewardConfig(parts={"accuracy": {}}),
}


def run(**sections: Any) -> RunConfig:
    return RunConfig(**NEEDED | sections)


def placed(config: RunConfig, num_gpus: int = 1) -> RunConfig:
    return with_placement(config, num_gpus=num_gpus)


def test_one_gpu_is_used_in_turn() -> None:
    assert takes_turns(placed(run()))
    assert takes_turns(placed(run(rollout=RolloutConfig(gpus_per_actor=1), learner=LearnerConfig(gpus_per_rank=1))))


@pytest.mark.parametrize("num_gpus", [0, 2, 8])
def test_other_numbers_of_gpus_are_divided(num_gpus: int) -> None:
    assert not takes_turns(placed(run(), num_gpus))


@pytest.mark.parametrize(
    "sections",
    [
        {"placement": "separate"},
        {"learner": LearnerConfig(gpus_per_rank=0)},
        {"rollout": RolloutConfig(gpus_per_actor=0)},
        {"learner": LearnerConfig(num_ranks=2)},
        {"rollout": RolloutConfig(num_actors=2)},
        {"recipe": "sft"},
        {"recipe": "evaluate"},
    ],
)
def test_what_is_asked_for_otherwise_stays_as_it_is(sections: dict[str, Any]) -> None:
    assert placed(run(**sections)) == run(**sections)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"algo": AlgoConfig(max_staleness=1, clip_high=0.2)}, "algo.max_staleness=1"),
        ({"eval": EvalConfig(num_actors=1)}, "eval.num_actors=1"),
    ],
)
def test_what_cannot_take_turns_is_refused_on_one_gpu(sections: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"there is one GPU, .* in turn: {message}"):
        placed(run(**sections))


def test_a_recipe_of_several_stages_is_decided_as_a_whole() -> None:
    assert placed(RunConfig(graph={"reasoning_rl": {"recipe": "r1_zero"}})).placement == "colocated"
