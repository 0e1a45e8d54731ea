"""No key takes a value that makes no sense: each number has a range, each text something in it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

import pytest

from r1ray.config import CollectConfig, DataConfig, RewardConfig, RunConfig, ScoreConfig, SourceConfig
from r1ray.config.values import check_local, check_name, check_values, divisors
from tests.config.keys import PARTS, ROOTS, keys_of, with_value

COUNT, COUNT_OR_NONE = (0, -1, 2**31), (-1, 2**31)
ACTORS, THREADS = (0, -1, 70_000), (0, -1, 2000)
POSITIVE, SECONDS, SHARE = (0.0, -1.0), (0.0, -1.0, 1e10), (0.0, -0.5, 1.5)
ENGINE = {
    "num_actors": ACTORS,
    "min_actors": ACTORS,
    "max_actors": ACTORS,
    "silent_s": SECONDS,
    "cpus_per_actor": POSITIVE,
    "gpus_per_actor": (-1, 2**31),
    "nodes_per_actor": ACTORS,
    "resources": ({"x": 0.0}, {"x": -1.0}, {"x": math.nan}, {"CPU": 1.0}),
    "threads": THREADS,
    "max_num_seqs": COUNT,
    "max_num_batched_tokens": COUNT,
    "gpu_memory_utilization": (0.0, -0.1, 7.0),
    "cpu_kv_cache_gib": COUNT,
}
MODEL = {
    "num_actors": ACTORS,
    "cpus_per_actor": (-1.0,),
    "gpus_per_actor": (-1, 2),
    "resources": ENGINE["resources"],
    "threads": THREADS,
    "max_tokens": (1, 0),
    "batch_tokens": (0, 32767),
}


def _in(section: str, ranges: Mapping[str, tuple[object, ...]]) -> dict[str, tuple[object, ...]]:
    return {f"{section}.{key}": values for key, values in ranges.items()}


REFUSED: dict[str, tuple[object, ...]] = {
    "seed": (-1, 2**31, 10**20),
    "steps": COUNT,
    "data.max_prompt_tokens": COUNT,
    "data.reasoning_gym.size": COUNT,
    "data.reasoning_gym.eval_size": COUNT,
    "data.reasoning_gym.seed": (-1, 2**31),
    "data.reasoning_gym.difficulty": COUNT_OR_NONE,
    "data.reasoning_gym.threshold": (-0.1, 1.1),
    "data.difficulty.min": (math.nan, math.inf),
    "data.difficulty.max": (math.nan, math.inf),
    "data.difficulty.revisit_passes": (1, 0, 2**31),
    "data.difficulty.retire_after": COUNT_OR_NONE,
    "algo.group_size": (1, 0, 2**31),
    "algo.prompts_per_step": COUNT,
    "algo.minibatches_per_step": (0, -1, 3, 513),
    "algo.max_staleness": COUNT_OR_NONE,
    "algo.min_group_size": (1, 17),
    "algo.oversample": (0.5, 101.0),
    "algo.log_ratio_clamp": POSITIVE,
    "algo.clip_low": POSITIVE,
    "algo.clip_high": POSITIVE,
    "algo.dual_clip": (1.0, -1.0),
    "algo.teacher.coefficient": POSITIVE,
    "algo.kl_coefficient": (-0.1,),
    "algo.kl_clamp": POSITIVE,
    "algo.entropy_coefficient": (-0.1,),
    "algo.reference_refresh_updates": COUNT_OR_NONE,
    "algo.advantage_epsilon": (-1e-6,),
    "algo.overlong_share": (-0.1, 1.1),
    "algo.correction_floor": (-0.1,),
    "algo.correction_cap": (0.0, -1.0),
    "algo.temperature": (0.0, -1.0, 0.001, 2.5),
    "algo.max_completion_tokens": COUNT,
    **_in("rollout", ENGINE),
    "environment.num_actors": ACTORS,
    "environment.cpus_per_actor": (-1.0,),
    "environment.resources": ENGINE["resources"],
    "environment.agents.memory_mib": COUNT,
    "environment.agents.processes": COUNT,
    "environment.agents.at_once": COUNT,
    "environment.max_turns": COUNT,
    "environment.max_context_tokens": COUNT,
    "environment.max_trajectory_tokens": COUNT,
    "environment.reset_timeout_s": SECONDS,
    "environment.step_timeout_s": SECONDS,
    "reward.num_actors": ACTORS,
    "reward.cpus_per_actor": (-1.0,),
    "reward.resources": ENGINE["resources"],
    "reward.max_in_flight": COUNT,
    "reward.verifier.num_processes": THREADS,
    "reward.verifier.deadline_s": SECONDS,
    "reward.verifier.memory_mib": (0, 511, 2**31),
    **_in("reward.models.helpful", MODEL),
    "reward.parts.accuracy.weight": (math.nan, math.inf),
    "reward.parts.accuracy.from_step": (-1, 2**31, 1001),
    "reward.parts.accuracy.deadline_s": SECONDS,
    "sandbox.num_slots": (-1, 2000),
    "sandbox.cpu_s": SECONDS,
    "sandbox.total_cpu_s": SECONDS,
    "sandbox.memory_mib": (0, 31, 2**31),
    "sandbox.output_kib": COUNT,
    "learner.num_ranks": ACTORS,
    "learner.cpus_per_rank": POSITIVE,
    "learner.gpus_per_rank": (-1, 2),
    "learner.resources": ENGINE["resources"],
    "learner.threads": THREADS,
    "learner.max_restarts": (-1, 2**31),
    "learner.zero_stage": (-1, 4),
    "learner.lr": POSITIVE,
    "learner.betas": ([1.5, 0.9], [0.9, 1.0], [-0.1, 0.9], [0.9], [math.nan, 0.9]),
    "learner.epsilon": POSITIVE,
    "learner.weight_decay": (-0.1, 1.1),
    "learner.grad_clip": POSITIVE,
    "learner.lr_floor": (-0.1, 1.1),
    "learner.warmup_updates": COUNT_OR_NONE,
    "learner.max_tokens_per_microbatch": COUNT,
    "learner.sequence_parallel_size": (0, -1, 2),
    "colocated.sleep_level": (0, 3, -1),
    "learner.lora.rank": (-1, 513),
    "learner.lora.alpha": POSITIVE,
    "learner.router.loss_coefficient": (-0.1, 1.1, math.nan),
    "learner.router.bias_speed": (-0.1, 1.1, math.nan),
    "supervised.epochs": COUNT,
    "supervised.sequences_per_step": COUNT,
    "supervised.max_tokens": (1, 0, 2**31),
    "supervised.eval_every": COUNT_OR_NONE,
    "supervised.eval_rows": COUNT,
    "supervised.samples": COUNT_OR_NONE,
    "collect.num_examples": COUNT,
    "collect.samples": COUNT,
    "collect.keep": COUNT,
    "collect.min_value": (-0.1, 1.1),
    "collect.temperature": (-1.0, 0.001, 2.5),
    "collect.top_p": SHARE,
    "collect.max_tokens": COUNT,
    "collect.similarity": SHARE,
    "collect.judge_agreement": COUNT_OR_NONE,
    "judge.deadline_s": SECONDS,
    "judge.max_in_flight": COUNT,
    "judge.max_model_len": (1024, 0, 2**31),
    "judge.max_tokens": (15, 0),
    **_in("judge.engine", ENGINE),
    "weights.bucket_mib": (0, -1, 2**17),
    "weights.probe_every": COUNT,
    "weights.probe_tolerance": POSITIVE,
    "weights.probe_kl": POSITIVE,
    "weights.probe_tokens": (1, 0, 2**31),
    "eval.every": COUNT_OR_NONE,
    "eval.num_prompts": COUNT,
    "eval.samples": COUNT,
    "eval.final_num_prompts": COUNT,
    "eval.final_samples": COUNT,
    "eval.temperature": (-1.0, 0.001, 2.5),
    "eval.top_p": SHARE,
    "eval.num_actors": (-1, 70_000),
    "eval.slots": COUNT,
    "stop.window": COUNT_OR_NONE,
    "stop.min_gain": (math.nan, math.inf),
    "stop.after": COUNT_OR_NONE,
    "stop.patience": COUNT,
    "checkpoint.every": COUNT_OR_NONE,
    "checkpoint.every_minutes": (-1.0, 1e10, math.nan, math.inf),
    "checkpoint.keep": COUNT,
    "checkpoint.export_every": COUNT_OR_NONE,
    **{f"deadlines.{each}_s": SECONDS for each in ("start", "generate", "score", "learn", "publish", "checkpoint")},
    "cluster.wait_s": (-1.0, 1e10),
    "cluster.group_workers": (-1, 70_000),
    "tracking.samples": COUNT_OR_NONE,
    "tracking.end_s": (-1.0, 1e10),
    "mirror.every_s": SECONDS,
    "mirror.end_s": SECONDS,
    "audit.num_prompts": COUNT,
    "audit.seed": COUNT_OR_NONE,
    "plan.memory_gib": POSITIVE,
    "plan.tflops": POSITIVE,
    "plan.memory_gb_s": POSITIVE,
    "plan.node_network_gb_s": POSITIVE,
    "plan.storage_gb_s": POSITIVE,
    "plan.gpus_per_node": COUNT,
    "plan.num_nodes": COUNT,
    "plan.host_memory_gib": POSITIVE,
    "plan.learn_efficiency": SHARE,
    "plan.generate_efficiency": SHARE,
    "plan.network_efficiency": SHARE,
    "plan.prompt_tokens": COUNT,
    "plan.completion_tokens": COUNT,
    "plan.turns": (0.5, 0.0, -1.0),
    "plan.context_tokens": COUNT,
    "plan.answer_s": POSITIVE,
    "plan.score_s": POSITIVE,
    "plan.max_days": POSITIVE,
    "plan.length_spread": (-0.1, 11.0, math.nan),
    "plan.faults_a_day": (-0.1, 1001.0, math.nan),
    "plan.restart_s": POSITIVE,
    "plan.simulated_steps": (0, -1, 100_001),
    "plan.price": POSITIVE,
    "samples": COUNT,
    "temperature": (-1.0, 0.001, 2.5),
    "top_p": SHARE,
    "max_tokens": COUNT,
    "num_shots": COUNT,
    "limit": COUNT,
    **_in("reward_model", MODEL),
    "search.budget": COUNT,
    "search.num_children": COUNT,
    "search.segment_tokens": COUNT,
    "search.exploration": (-0.1,),
}
"""Of every key that takes a number: values that make no sense."""


def test_every_key_that_takes_a_number_has_a_row() -> None:
    free = {"reward.models.helpful", "reward.parts.accuracy"}
    assert {key for key in REFUSED if key.rpartition(".")[0] not in free} == {
        *keys_of(int, float, list[float], dict[str, float])
    }


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in REFUSED.items() for value in values])
def test_a_number_out_of_its_range_is_refused_by_its_key(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(key)}(\.\w+)*[=: ].*(need|divide|out in)"):
        with_value(key, value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("key", keys_of(float))
def test_no_key_takes_a_number_that_is_none(key: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(key)}={value}: needs a finite number"):
        with_value(key, value)


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: run(data=DataConfig(train="t", mixture={"math": math.inf})), "data.mixture.math=inf"),
        (lambda: run(prepare_options={"rate": math.nan}), "prepare.options.rate=nan"),
        (lambda: run(graph={"one": {"learner": {"lr": math.nan}}}), "graph.one.learner.lr=nan"),
        (lambda: run(graph={"one": {"rates": [1.0, math.inf]}}), "graph.one.rates=inf"),
        (
            lambda: run(collect=CollectConfig(options={"max_repetition": math.nan})),
            "collect.options.max_repetition=nan",
        ),
    ],
)
def test_neither_does_a_value_by_a_name_of_the_users(make: Callable[[], object], key: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(key)}: needs a finite number"):
        make()


def run(*, prepare_options: dict[str, object] | None = None, **sections: object) -> RunConfig:
    made = {"model": "m", "data": DataConfig(train="t"), "reward": PARTS} | sections
    config = RunConfig(**made)  # type: ignore[arg-type]
    config.prepare.options = prepare_options or {}
    check_values(config)
    return config


@pytest.mark.parametrize("values", [{"ratio": math.nan}, {"ratio": 1.0}, {"reasoning": 1.5}, {"trivial_words": -1}])
def test_a_source_has_shares(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"^collect.sources.own: "):
        CollectConfig(sources={"own": {"path": "p", **values}})
    assert CollectConfig(sources={"own": {"path": "p"}}).sources["own"] == SourceConfig("p")


@pytest.mark.parametrize("key", sorted({*keys_of(str)} - {"recipe"}))
def test_no_text_is_empty(key: str) -> None:
    if key in ("search.segment_end",):
        assert with_value(key, "\n\n")
        return
    with pytest.raises(ValueError, match=f"^{re.escape(key)}(=:| is empty|=)"):
        with_value(key, "")


@pytest.mark.parametrize("value", ["a\0b", "\udce9.parquet"])
@pytest.mark.parametrize("key", ["model", "data.train", "output_dir", "name", "cluster.address", "judge.model"])
def test_a_text_that_no_file_can_hold_is_refused(key: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"^{key}='.*\\\\.*: needs a text in UTF-8 without a null character"):
        with_value(key, value)


@pytest.mark.parametrize(
    "name",
    ["../x", "a/b", "/etc", ".", "..", ".lock", "a\nb", "a\x1bb", "artifacts", "evaluations", "x" * 201, "é" * 101],
)
def test_a_runs_name_is_that_of_a_folder(name: str) -> None:
    for key in ("name", "experiment"):
        with pytest.raises(ValueError, match=rf"^{key}=.*need.*\.$"):
            with_value(key, name)


def test_other_names_are_taken() -> None:
    for name in ("a b", "run-1.2", "x" * 200, "é" * 100, "läuft, {so}='x'"):
        check_name("name", name)


def test_what_is_written_is_on_a_file_system_but_for_the_folders_of_runs() -> None:
    for root in ROOTS:
        if isinstance(root, RunConfig):
            continue
        key = "output" if isinstance(root, ScoreConfig) else "output_dir"
        for address in ("s3://bucket/runs", "gs://bucket", "file:///tmp/x"):
            with pytest.raises(ValueError, match=f"^{key}={address}: .* all nodes see, and not an address"):
                type(root)(**{**vars(root), key: address})
    check_local("output_dir", "runs/s3:x")


def test_run_folders_may_be_in_an_object_store() -> None:
    for address in ("s3://bucket/runs", "gs://my.bucket/a b/run=1/", "s3://bucket", "runs/s3:x"):
        assert with_value("output_dir", address)
    for address in (
        "file:///tmp/x",
        "az://bucket/x",
        "s3://",
        "s3:///x",
        "s3://bucket/../x",
        "s3://bucket/a//b",
        "s3://bucket/x?region=eu",
        "s3://bucket/*",
        "s3://bucket/a%20b",
        "s3://bucket/a[1]",
    ):
        with pytest.raises(
            ValueError, match=rf"^output_dir={re.escape(address)}: needs a path, or an address of the form"
        ):
            with_value("output_dir", address)
    with pytest.raises(ValueError, match=r"^cluster.scratch_dir=s3://bucket: .* not an address"):
        with_value("cluster.scratch_dir", "s3://bucket")


def test_prompts_are_read_from_an_object_store() -> None:
    assert with_value("data.train", "s3://bucket/rows.parquet")


def test_a_part_of_the_reward_is_not_called_as_the_total_is() -> None:
    with pytest.raises(ValueError, match=r"^reward.parts.mean: .*needs another name"):
        RewardConfig(parts={"mean": {}})


def test_divisors_of_a_large_number_are_found_at_once() -> None:
    assert divisors(12) == [1, 2, 3, 4, 6, 12] and divisors(1) == [1] and divisors(49) == [1, 7, 49]
    assert len(divisors(2**31 - 1)) == 2
