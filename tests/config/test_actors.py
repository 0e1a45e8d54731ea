"""Engines, learner and weights: what cannot work is refused with the value found, the value needed and the key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from r1ray.config import LearnerConfig, LoraConfig, RolloutConfig, WeightsConfig
from r1ray.config.actors import JudgeEngineConfig
from r1ray.config.router import RouterConfig


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RolloutConfig(num_actors=0), "rollout.num_actors=0: needs 1 to 65536"),
        (lambda: RolloutConfig(min_actors=2), "rollout.min_actors=2: needs 1 to rollout.num_actors=1"),
        (lambda: RolloutConfig(num_actors=3, max_actors=2), "rollout.max_actors=2: needs rollout.num_actors=3 to"),
        (lambda: RolloutConfig(dtype="fp8"), "rollout.dtype=fp8"),
        (lambda: JudgeEngineConfig(max_actors=2), "judge.engine.max_actors=2: has no effect on a judge"),
        (lambda: LearnerConfig(zero_stage=4), "learner.zero_stage=4: needs 0, 1, 2 or 3"),
        (lambda: LearnerConfig(betas=[0.9]), "learner.betas"),
        (
            lambda: LearnerConfig(deepspeed={"gradient_clipping": 1.0}),
            r"learner.deepspeed.gradient_clipping: is r1ray's to say; needs learner.grad_clip\.",
        ),
        (
            lambda: LearnerConfig(deepspeed={"zero_optimization": {"overlap_comm": True, "stage": 3}}),
            "learner.deepspeed.zero_optimization.stage: .* needs learner.zero_stage",
        ),
        (
            lambda: LearnerConfig(deepspeed={"optimizer": {"params": {"lr": 1}}}),
            "learner.deepspeed.optimizer.params.lr: .* needs learner.lr",
        ),
        (lambda: LearnerConfig(deepspeed={"tensor_parallel": {}}), "tensor_parallel: .* needs to be left out"),
        (
            lambda: LearnerConfig(deepspeed={"zero_optimization": 3}),
            "learner.deepspeed.zero_optimization=3: needs settings by name, {stage: VALUE}",
        ),
        (
            lambda: LearnerConfig(deepspeed={"optimizer": {"params": 3}}),
            "learner.deepspeed.optimizer.params=3: needs settings by name, {lr: VALUE}",
        ),
        (lambda: WeightsConfig(backend="mpi"), "weights.backend=mpi"),
    ],
)
def test_contradictions_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_only_a_cosine_schedule_has_a_floor() -> None:
    assert LearnerConfig(schedule="cosine", lr_floor=0.1).lr_floor == 0.1
    with pytest.raises(ValueError, match=r"learner.lr_floor=0.1: learner.schedule=linear has no floor; needs cosine"):
        LearnerConfig(schedule="linear", lr_floor=0.1)


def test_what_is_offloaded_has_to_be_divided() -> None:
    with pytest.raises(ValueError, match=r"learner.offload_optimizer=true: learner.zero_stage=0 .* needs 1, 2 or 3"):
        LearnerConfig(zero_stage=0, offload_optimizer=True)
    with pytest.raises(ValueError, match=r"learner.offload_parameters=true: learner.zero_stage=2 .* needs 3"):
        LearnerConfig(zero_stage=2, offload_parameters=True)


def test_sequence_parallel_ranks_divide_all_ranks() -> None:
    assert LearnerConfig(num_ranks=8, sequence_parallel_size=4).num_shards == 2
    with pytest.raises(ValueError, match=r"sequence_parallel_size=4 does not divide learner.num_ranks=6: needs one of"):
        LearnerConfig(num_ranks=6, sequence_parallel_size=4)


@pytest.mark.parametrize(
    ("router", "others", "said"),
    [
        (
            {"loss_coefficient": 0.1},
            {"num_ranks": 2, "sequence_parallel_size": 2},
            "_size=2: the load of experts",
        ),
        ({"bias_speed": 0.1}, {"num_ranks": 2, "sequence_parallel_size": 2}, "_size=2: the load of experts"),
        (
            {"bias_speed": 0.1},
            {"lora": LoraConfig(rank=4)},
            "bias_speed=0.1: with learner.lora.rank=4 the model",
        ),
    ],
)
def test_the_load_of_experts_is_balanced_on_whole_rows_of_a_whole_model(
    router: dict[str, Any], others: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        LearnerConfig(router=RouterConfig(**router), **others)


def test_seeds_on_cpus_keep_every_prompt_whole() -> None:
    """A prompt that is split among steps of an engine on CPUs ends the engine where its request has a seed."""
    config = RolloutConfig(seeded=True, max_num_seqs=64, max_num_batched_tokens=512)
    assert config.batched_tokens(0, 48) == 64 * 48
    assert config.batched_tokens(1, 48) == 512, "generators of GPUs can go back"
    assert RolloutConfig(max_num_seqs=64, max_num_batched_tokens=512).batched_tokens(0, 1024) == 1024
    assert config.why_not_seeded("rollout", 0, 1024) is None
    problem = config.why_not_seeded("rollout", 0, 2048)
    assert problem is not None and "64 sequences of 2048 tokens may need 131072 tokens in one step" in problem
    assert "rollout.max_num_seqs=32, or rollout.seeded=false" in problem
    assert config.why_not_seeded("rollout", 1, 2048) is None


def test_the_bounds_of_the_probe_follow_the_dtype() -> None:
    assert WeightsConfig().bounds("float32", "float32") == (1e-4, 1e-6)
    assert (
        WeightsConfig().bounds("float32", "bfloat16") == (0.15, 0.03) == WeightsConfig().bounds("bfloat16", "float32")
    )
    assert WeightsConfig(probe_tolerance=0.5).bounds("bfloat16", "bfloat16") == (0.5, 0.03)


@pytest.mark.parametrize(
    ("argument", "needed"),
    [
        ("max_num_seqs", "rollout.max_num_seqs"),
        ("gpu_memory_utilization", "rollout.gpu_memory_utilization"),
        ("dtype", "rollout.dtype"),
        ("quantization", "rollout.quantization"),
        ("seed", "seed"),
        ("max_model_len", "data.max_prompt_tokens and algo.max_completion_tokens"),
        ("logprobs_mode", "to be left out"),
    ],
)
def test_what_has_a_key_of_its_own_is_no_argument_of_vllm(argument: str, needed: str) -> None:
    with pytest.raises(ValueError, match=f"^rollout.engine_args.{argument}: is r1ray's to say; needs {needed}\\.$"):
        RolloutConfig(engine_args={argument: 1})


def test_a_judges_engines_are_called_by_their_own_keys() -> None:
    with pytest.raises(ValueError, match=r"^judge.engine.engine_args.max_model_len: .* needs judge.max_model_len\."):
        JudgeEngineConfig(engine_args={"max_model_len": 1})
    with pytest.raises(ValueError, match=r"^judge.engine.dtype=fp8"):
        JudgeEngineConfig(dtype="fp8")


@pytest.mark.parametrize("size", [0, -1, 1.5, "2", True])
def test_parts_of_an_engine_are_counted(size: object) -> None:
    with pytest.raises(ValueError, match=rf"^rollout.engine_args.tensor_parallel_size={size}: needs a whole number"):
        RolloutConfig(engine_args={"tensor_parallel_size": size})


def test_adapters_have_targets() -> None:
    with pytest.raises(ValueError, match=r"learner.lora.targets=\[\]: needs names"):
        LoraConfig(rank=8, targets=[])


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ("ngram", "needs {method: ngram"),
        ({"method": "ngram"}, "needs {method: ngram"),
        ({"num_speculative_tokens": 3, "rejection_sample_method": "synthetic"}, "rejection_sample_method=synthetic: "),
    ],
)
def test_drafts_that_learning_has_no_use_for_are_refused(settings: object, problem: str) -> None:
    with pytest.raises(ValueError, match=r"^rollout.engine_args.speculative_config") as raised:
        RolloutConfig(engine_args={"speculative_config": settings})
    assert problem in str(raised.value)


def test_exact_drafts_are_passed_on() -> None:
    settings = {"method": "ngram", "num_speculative_tokens": 3}
    assert RolloutConfig(engine_args={"speculative_config": settings}).engine_args["speculative_config"] == settings


@pytest.mark.parametrize(("key", "value"), [("data_parallel_size", 2), ("data_parallel_backend", "ray")])
def test_data_parallel_engines_are_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"^rollout.engine_args.{key}.*replicated by rollout.num_actors"):
        RolloutConfig(engine_args={key: value})


def test_8_bit_engines_are_refused_on_cpus_and_have_wider_probes() -> None:
    with pytest.raises(ValueError, match=r"^rollout.quantization=fp8: engines on CPUs have no 8-bit layers"):
        RolloutConfig(quantization="fp8", gpus_per_actor=0)
    assert RolloutConfig(quantization="fp8").why_not("rollout", 0) is not None, "GPUs are looked for later"
    assert RolloutConfig(quantization="fp8").why_not("rollout", 1) is None
    assert WeightsConfig().bounds("bfloat16", "float32", "fp8") == (0.3, 0.1)
    assert WeightsConfig().bounds("float32", "float32", None) == (1e-4, 1e-6)
