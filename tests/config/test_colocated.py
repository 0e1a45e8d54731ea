"""Engines and learner on the same devices: what cannot take turns is refused, and what is left open is decided."""

from __future__ import annotations

from typing import Any

import pytest

from r1ray.config import (
    AlgoConfig,
    ColocatedConfig,
    DataConfig,
    EvalConfig,
    LearnerConfig,
    LoraConfig,
    RewardConfig,
    RolloutConfig,
    RunConfig,
    WeightsConfig,
)

NEEDED: dict[str, Any] = {
    "model": "m",
    "data": DataConfig(train="t"),
    "reward": RewardConfig(parts={"accuracy": {}}),
    "placement": "colocated",
}
NATIVE = LoraConfig(rank=8, publish="native")
STREAMING: dict[str, Any] = {"stream_minibatches": True, "old_logprobs": "engine"}


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"algo": AlgoConfig(max_staleness=1, clip_high=0.2)},
            "algo.max_staleness=1: .* needs algo.max_staleness=0 .*, or placement=separate",
        ),
        ({"algo": AlgoConfig(**STREAMING)}, "algo.stream_minibatches=true: .* needs false"),
        ({"eval": EvalConfig(num_actors=1)}, "eval.num_actors=1: .* needs 0"),
        ({"rollout": RolloutConfig(max_actors=2)}, "rollout.max_actors=2: .* needs rollout.num_actors=1"),
        (
            {"rollout": RolloutConfig(labels={"tier": "a"}), "learner": LearnerConfig(labels={"tier": "b"})},
            "rollout.labels.tier=a, learner.labels.tier=b: .* needs the same value",
        ),
        (
            {"colocated": ColocatedConfig(sleep_level=2), "learner": LearnerConfig(lora=NATIVE)},
            "colocated.sleep_level=2 .* needs 1, or learner.lora.publish=merged",
        ),
        (
            {"colocated": ColocatedConfig(sleep_level=2), "learner": LearnerConfig(lora=LoraConfig(rank=8))},
            "colocated.sleep_level=2 with learner.lora.publish=auto",
        ),
        (
            {"colocated": ColocatedConfig(offload="all"), "learner": LearnerConfig(dtype="float32", zero_stage=0)},
            "colocated.offload=all: learner.zero_stage=0 .* needs 1, 2 or 3, or colocated.offload=none",
        ),
        (
            {
                "colocated": ColocatedConfig(offload="optimizer"),
                "learner": LearnerConfig(zero_stage=3, offload_parameters=True),
            },
            "colocated.offload=optimizer: learner.offload_parameters=true .* needs to be false",
        ),
        ({"weights": WeightsConfig(backend="nccl")}, "weights.backend=nccl: .* needs ipc, gloo or auto"),
    ],
)
def test_what_cannot_take_turns_is_refused_with_the_reason(sections: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RunConfig(**NEEDED | sections)
    assert RunConfig(**NEEDED).is_colocated


def test_devices_of_their_own_need_no_turns() -> None:
    separate = NEEDED | {"placement": "separate"}
    assert not RunConfig(**separate, algo=AlgoConfig(max_staleness=1, clip_high=0.2)).is_colocated
    assert not RunConfig(**NEEDED | {"placement": None}).is_colocated
    with pytest.raises(ValueError, match=r"weights.backend=ipc: .* needs nccl, gloo or auto, or placement=colocated"):
        RunConfig(**separate, weights=WeightsConfig(backend="ipc"))
    with pytest.raises(ValueError, match=r"placement=both: needs one of separate, colocated"):
        RunConfig(**NEEDED | {"placement": "both"})


def test_weights_below_native_adapters_are_kept() -> None:
    assert ColocatedConfig().level(sends_adapters=False) == 2
    assert ColocatedConfig().level(sends_adapters=True) == 1
    assert ColocatedConfig(sleep_level=1).level(sends_adapters=False) == 1


def test_everything_is_offloaded_that_can_be() -> None:
    open_ = ColocatedConfig()
    assert open_.offloaded(LearnerConfig(zero_stage=0)) == "all", "in bfloat16 DeepSpeed is given stage 2"
    assert open_.offloaded(LearnerConfig(zero_stage=0, dtype="float32")) == "none"
    assert open_.offloaded(LearnerConfig(zero_stage=3, offload_parameters=True)) == "none"
    assert ColocatedConfig(offload="optimizer").offloaded(LearnerConfig()) == "optimizer"
