"""A run: contradictions between sections are refused, and what makes it the run that it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from r1ray.config import (
    AlgoConfig,
    CompareConfig,
    DataConfig,
    EvalConfig,
    LearnerConfig,
    LoraConfig,
    RewardConfig,
    RolloutConfig,
    RunConfig,
    StopConfig,
    SupervisedConfig,
    WeightsConfig,
    decisive,
)
from r1ray.config.difficulty import DifficultyConfig

SLOW = RewardConfig(parts={"slow": {"function": "m:f", "deadline_s": 900}})
PAPER = RewardConfig(parts={"accuracy": {}, "format": {}})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: RunConfig(
                model="m",
                data=DataConfig(train="t"),
                reward=PAPER,
                algo=AlgoConfig(drop_uniform=True, uniform_part="x"),
            ),
            r"algo.uniform_part=x: needs one of reward.parts \(accuracy, format\), or null",
        ),
        (
            lambda: RunConfig(
                model="m",
                data=DataConfig(train="t"),
                reward=RewardConfig(parts={"overlong": {"function": "m:f"}}),
                algo=AlgoConfig(overlong_share=0.2),
            ),
            "algo.overlong_share=0.2 makes a part .* needs another name for reward.parts.overlong",
        ),
        (
            lambda: RunConfig(model="m", data=DataConfig(train="t"), reward=PAPER, algo=AlgoConfig(credit="turn")),
            r"algo.credit=turn: no part of the reward \(accuracy, format\) is paid for turns; needs reward.parts.NAME",
        ),
        (
            lambda: RunConfig(
                model="m",
                data=DataConfig(train="t"),
                reward=RewardConfig(parts={"a": {"from_environment": True}}, combine="normalised"),
                algo=AlgoConfig(credit="turn"),
            ),
            "algo.credit=turn with reward.combine=normalised, .* needs reward.combine=sum or gated",
        ),
        (
            lambda: RunConfig(
                model="m", steps=9, data=DataConfig(train="t"), reward=RewardConfig(parts={"a": {"from_step": 10}})
            ),
            "reward.parts.a.from_step=10: needs at most steps=9, or the part never counts",
        ),
        (
            lambda: RunConfig(
                model="m",
                reward=PAPER,
                data=DataConfig(train="t", difficulty=DifficultyConfig(retire_after=1, part="x")),
            ),
            "data.difficulty.part=x: the reward has no such part; needs one of accuracy, format",
        ),
        (
            lambda: RunConfig(
                model="m", data=DataConfig(train="t"), reward=PAPER, stop=StopConfig("reward/form", window=1)
            ),
            "stop.metric=reward/form: needs reward/mean, or reward/ and one of accuracy, format",
        ),
        (
            lambda: RunConfig(
                model="m",
                data=DataConfig(train="t"),
                reward=PAPER,
                eval=EvalConfig(num_actors=1),
                stop=StopConfig("eval/x/pass@1", window=1),
            ),
            "stop.metric=eval/x/pass@1: .* needs eval.num_actors=0",
        ),
        (
            lambda: RunConfig(
                model="m",
                data=DataConfig(train="t"),
                reward=PAPER,
                eval=EvalConfig(every=0),
                stop=StopConfig("eval/x/pass@1", window=1),
            ),
            "stop.metric=eval/x/pass@1: with eval.every=0 nothing is evaluated in between",
        ),
        (lambda: RunConfig(model="m", data=DataConfig(train="t")), "reward.parts is empty"),
        (lambda: EvalConfig(top_p=0), "eval.top_p=0"),
        (lambda: RunConfig(), "model is not set: give model=PATH"),
        (lambda: RunConfig(model="m"), "data.train is not set"),
        (
            lambda: RunConfig(model="m", data=DataConfig(train="t"), reward=SLOW),
            "reward.parts.slow.deadline_s=900: needs to be below deadlines.score_s=600",
        ),
        (
            lambda: RunConfig(model="m", data=DataConfig(train="t", max_prompt_tokens=20000), reward=PAPER),
            "learner.max_tokens_per_microbatch=16384 cannot hold the longest sequence: needs at least 28192",
        ),
        (lambda: RunConfig(recipe="sft"), "model is not set: recipe=sft needs model=PATH"),
        (
            lambda: RunConfig(recipe="sft", model="m", data=DataConfig(train="t")),
            "supervised.train is not set: recipe=sft needs supervised.train=PATH",
        ),
        (
            lambda: RunConfig(recipe="sft", model="m", supervised=SupervisedConfig(train="t", max_tokens=20000)),
            r"learner.max_tokens_per_microbatch=16384 .* at least 20000 \(supervised.max_tokens=20000\)",
        ),
        (
            lambda: RunConfig(
                recipe="reward_model", model="m", supervised=SupervisedConfig(train="t", max_tokens=10000)
            ),
            r"learner.max_tokens_per_microbatch=16384 .* at least 20000 \(2 x supervised.max_tokens=10000\)",
        ),
    ],
)
def test_contradictions_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_run_may_go_on_with_its_preference_models_placed_elsewhere() -> None:
    def decided(**model: object) -> dict[str, object]:
        reward = RewardConfig(parts={"helpful": {}}, models={"helpful": {"model": "h", **model}})
        return decisive(RunConfig(model="m", data=DataConfig(train="t"), reward=reward))

    assert decided(num_actors=4, gpus_per_actor=1, batch_tokens=10**6) == decided()
    assert decided(sees="summary") != decided()


def test_what_ends_training_and_mixes_prompts_makes_another_run() -> None:
    def decided(data: DataConfig, stop: StopConfig) -> dict[str, object]:
        return decisive(RunConfig(model="m", data=data, reward=PAPER, stop=stop))

    one = decided(DataConfig(train="t"), StopConfig())
    assert decided(DataConfig(train="t"), StopConfig(window=50)) != one
    assert decided(DataConfig(train="t", mixture={"math": 1}), StopConfig()) != one


def test_supervised_recipes_have_a_learner_and_nothing_else() -> None:
    assert RunConfig(recipe="sft", model="m", supervised=SupervisedConfig(train="t", max_tokens=64)).only_learner
    assert not RunConfig(model="m", data=DataConfig(train="t"), reward=PAPER).only_learner


def test_adapters_have_a_reference_that_does_not_change() -> None:
    own: dict[str, Any] = {"model": "m", "data": DataConfig(train="t"), "reward": RewardConfig(parts={"accuracy": {}})}
    learner = LearnerConfig(lora=LoraConfig(rank=8))
    with pytest.raises(ValueError, match=r"reference_refresh_updates=400: .* does not change; needs 0"):
        RunConfig(**own, learner=learner)
    assert RunConfig(**own, learner=learner, algo=AlgoConfig(reference_refresh_updates=0)).learner.lora.rank == 8


def test_a_comparison_is_called_as_the_stage_or_the_folder_that_it_reads() -> None:
    names = [
        CompareConfig(against=path, expect={"pass@1": "up"}).name for path in ("@eval_base", "runs/one/result.json")
    ]
    assert names == ["eval_base", "one"]
    assert CompareConfig(against="runs/one/result.json", expect={"pass@1": "up"}, name="eval_base").name == "eval_base"


@pytest.mark.parametrize(
    "sections",
    [{"learner": LearnerConfig(gpus_per_rank=0)}, {"rollout": RolloutConfig(gpus_per_actor=0)}],
)
def test_nccl_needs_gpus_whatever_the_cluster_has(sections: dict[str, Any]) -> None:
    own: dict[str, Any] = {"model": "m", "data": DataConfig(train="t"), "reward": PAPER, **sections}
    with pytest.raises(ValueError, match=r"weights.backend=nccl: (learner.gpus_per_rank|rollout.gpus_per_actor)=0"):
        RunConfig(**own, weights=WeightsConfig(backend="nccl"))
    assert RunConfig(**own, weights=WeightsConfig(backend="gloo"))
    assert RunConfig(**own | {"recipe": "collect"}, weights=WeightsConfig(backend="nccl")), "has no weights to send"


def test_an_engine_with_adapters_of_its_own_has_none_at_the_output_layer() -> None:
    own: dict[str, Any] = {
        "model": "m",
        "data": DataConfig(train="t"),
        "reward": PAPER,
        "algo": AlgoConfig(kl_coefficient=0),
    }
    for publish in ("native", "auto"):
        lora = LoraConfig(rank=8, targets=["q_proj", "lm_head"], publish=publish)
        with pytest.raises(ValueError, match=r"learner.lora.targets: has lm_head, .*publish=merged"):
            RunConfig(**own, learner=LearnerConfig(lora=lora))
    merged = LoraConfig(rank=8, targets=["lm_head"], publish="merged")
    assert RunConfig(**own, learner=LearnerConfig(lora=merged))
