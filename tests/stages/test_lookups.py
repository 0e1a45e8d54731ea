"""Names in a stage's configuration are looked up before anything starts."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from r1ray.config import (
    AlgoConfig,
    CheckpointConfig,
    CollectConfig,
    CompareConfig,
    DataConfig,
    EvalConfig,
    JudgeConfig,
    LearnerConfig,
    PlanConfig,
    PrepareConfig,
    RewardConfig,
    RolloutConfig,
    RunConfig,
    StopConfig,
)
from r1ray.config.actors import JudgeEngineConfig
from r1ray.errors import UserError
from r1ray.stages.lookups import benchmark_of, check_metrics, check_names

PARTS = RewardConfig(parts={"accuracy": {}, "format": {}})


def run(**sections: Any) -> RunConfig:
    made: dict[str, Any] = {
        "model": "m",
        "data": DataConfig(train="t", eval="sets/held.v1.parquet"),
        "reward": PARTS,
    } | sections
    return RunConfig(**made)


def sampling(recipe: str, **sections: Any) -> RunConfig:
    return run(recipe=recipe, **sections)


COMPARED = EvalConfig(compare=[CompareConfig(against="@x", expect={"pas@1": "up"})])
SERVED = JudgeConfig(model="j", engine=JudgeEngineConfig(engine_args={"enforce_eage": True}))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (run(plan=PlanConfig(gpu="h1000")), "plan.gpu=h1000: needs one of "),
        (run(algo=AlgoConfig(surrogate="no.such:loss")), "algo.surrogate=no.such:loss: "),
        (
            run(reward=RewardConfig(parts={"acuracy": {}})),
            "reward.parts.acuracy: no such reward; needs one of accuracy",
        ),
        (
            run(reward=RewardConfig(parts={"own": {"function": "no.such:f"}})),
            "reward.parts.own.function=no.such:f: ",
        ),
        (run(rollout=RolloutConfig(engine_args={"enforce_eage": True})), "rollout.engine_args.enforce_eage: vLLM has"),
        (sampling("evaluate", judge=SERVED), "judge.engine.engine_args.enforce_eage: vLLM has no such argument"),
        (sampling("evaluate", eval=COMPARED), r"eval.compare.expect.pas@1: .* \(the nearest is pass@1\)"),
        (
            sampling("evaluate", reward=RewardConfig(parts={"helpful": {}}, models={"helpful": {"model": "r"}})),
            "reward.models.helpful: only reinforcement learning serves it; needs ~reward.models.helpful",
        ),
        (
            sampling("collect", collect=CollectConfig(filters=["cutt"])),
            "collect.filters: cutt is none; needs some of cut",
        ),
        (
            sampling("collect", collect=CollectConfig(options={"max_repetitions": 1})),
            "collect.options=.*unexpected keyword argument 'max_repetitions'",
        ),
        (
            sampling("collect", collect=CollectConfig(options={"max_repetition": 7})),
            "collect.options=.*max_repetition=7: needs at most 1",
        ),
        (
            sampling("collect", collect=CollectConfig(options={"max_loops": "x"})),
            "collect.options=.*max_loops=x: needs a number of at least 1",
        ),
    ],
)
def test_a_name_that_nothing_has_is_refused(config: RunConfig, message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}"):
        check_names({"": config})
    with pytest.raises(UserError, match=f"^graph.cold_start: {message}"):
        check_names({"fine": run(), "cold_start": config})


def metric(*, best: str | None = None, stop: str | None = None, **settings: Any) -> RunConfig:
    return run(
        checkpoint=CheckpointConfig(best=best),
        stop=StopConfig(stop, window=5) if stop else StopConfig(),
        eval=EvalConfig(**settings),
    )


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            metric(best="pas@1"),
            "checkpoint.best=pas@1: no evaluation makes it; needs one of pass@1, .*, accuracy, format",
        ),
        (
            metric(best="eval/held/pass@1"),
            "checkpoint.best=eval/held/pass@1: no evaluation makes it; needs one of pass@1",
        ),
        (metric(best="cons@7"), r"checkpoint.best=cons@7: evaluations make cons@4 \(eval.samples\), .* cons@16"),
        (metric(best="cons@16"), "checkpoint.best=cons@16: evaluations make cons@4"),
        (metric(best="cons@4"), "checkpoint.best=cons@4: evaluations make cons@4 .* both keys to be the same"),
        (metric(best="cons@8", samples=16), "checkpoint.best=cons@8: no evaluation makes it; needs .*, cons@16,"),
        (
            metric(stop="eval/held/pas@1"),
            "stop.metric=eval/held/pas@1: no evaluation makes it; needs .*eval/held/pass@1,",
        ),
        (metric(stop="eval/hel/pass@1"), "stop.metric=eval/hel/pass@1: needs eval/held/METRIC"),
        (metric(stop="domain/math/rewards"), "stop.metric=domain/math/rewards: needs domain/NAME/ and one of share,"),
        (replace(metric(best="pass@1"), data=DataConfig(train="t")), "checkpoint.best=pass@1: nothing is evaluated"),
    ],
)
def test_a_metric_that_not_every_evaluation_makes_is_refused(config: RunConfig, message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}"):
        check_names({"": config})


@pytest.mark.parametrize(
    "config",
    [
        metric(best="pass@1"),
        metric(best="accuracy", stop="reward/accuracy"),
        metric(best="cons@16", samples=16),
        metric(best="cons@16", every=0),
        metric(best="prompt_strict"),
        metric(stop="eval/held/length_mean"),
        metric(stop="domain/math/reward_mean"),
    ],
)
def test_a_metric_that_every_evaluation_makes_is_taken(config: RunConfig) -> None:
    check_names({"": config})


def test_what_the_rows_decide_is_refused_once_they_are_read() -> None:
    config = metric(best="cons@16", samples=16)
    check_metrics(config, can_vote=True)
    with pytest.raises(UserError, match=r"^checkpoint.best=cons@16: answers to some prompts of data.eval cannot vote"):
        check_metrics(config, can_vote=False)
    config = metric(stop="domain/math/share")
    check_metrics(config, domains=["math", "general"])
    with pytest.raises(UserError, match=r"needs a domain of data.train .*; there are code, general"):
        check_metrics(config, domains=["general", "code"])
    with pytest.raises(UserError, match=r"needs a domain of data.train that is one of several; all prompts are of one"):
        check_metrics(config, domains=["math"])


def test_sets_and_domains_of_held_out_prompts_have_metrics_of_their_own() -> None:
    data = DataConfig(train="t", eval={"aime": "a.jsonl", "math": "b.jsonl"})
    for name in ("pass@1", "aime/pass@1", "math/length_mean", "domain/code/pass@1"):
        check_names({"": run(data=data, checkpoint=CheckpointConfig(best=name))})
    check_names({"": run(data=data, stop=StopConfig(metric="eval/aime/pass@1", window=2))})
    check_names({"": run(data=data, stop=StopConfig(metric="eval/pass@1", window=2))})
    with pytest.raises(
        UserError, match=r"checkpoint.best=aime/pas@1: no evaluation makes it; needs one of aime/pass@1"
    ):
        check_names({"": run(data=data, checkpoint=CheckpointConfig(best="aime/pas@1"))})
    best = run(data=data, checkpoint=CheckpointConfig(best="domain/code/pass@1"))
    check_metrics(best, groups=["aime", "math", "domain/code", "domain/sums"])
    with pytest.raises(UserError, match=r"checkpoint.best=domain/code/pass@1: the held-out prompts have domain/sums"):
        check_metrics(best, groups=["aime", "domain/sums"])


def test_environments_of_held_out_prompts_have_metrics_of_their_own() -> None:
    for name in ("environment/maze/pass@1", "environment/maze/wait_s", "reward_mean"):
        best = run(data=DataConfig(train="t", eval="a.jsonl"), checkpoint=CheckpointConfig(best=name))
        check_names({"": best})
        check_metrics(best, groups=["environment/maze"])
    with pytest.raises(UserError, match=r"checkpoint.best=reward_mean: no evaluation makes it"):
        check_metrics(best, groups=[])
    other = run(data=DataConfig(train="t", eval="a.jsonl"), checkpoint=CheckpointConfig(best="environment/mase/pass@1"))
    with pytest.raises(UserError, match=r"environment/mase/pass@1: the held-out prompts have environment/maze"):
        check_metrics(other, groups=["environment/maze"])
    with pytest.raises(UserError, match=r"environment/mase/pass@1: the held-out prompts have no environment"):
        check_metrics(other, groups=[])


def test_the_held_out_prompts_are_called_as_their_file() -> None:
    assert benchmark_of(run(data=DataConfig(train="t", eval={"aime": "a", "math": "b"}))) == ""
    assert benchmark_of(run()) == "held"
    assert benchmark_of(run(data=DataConfig(train="t", eval="s3://b/aime.jsonl"))) == "aime"
    assert benchmark_of(RunConfig(prepare=PrepareConfig(maker="m:f"), reward=PARTS)) == "heldout"


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"learner": LearnerConfig(num_ranks=4, sequence_parallel_size=4)},
            "learner.sequence_parallel_size=4 does not divide the 2 key-value heads of model=",
        ),
        ({"rollout": RolloutConfig(gpus_per_actor=3)}, "rollout: an engine cuts each layer .* 8 heads do not divide"),
        (
            {"rollout": RolloutConfig(engine_args={"pipeline_parallel_size": 4})},
            "rollout: an engine cuts .* in 4 .* has 3 layers: needs at most that",
        ),
    ],
)
def test_heads_and_layers_have_to_be_enough_for_all_parts(
    tmp_path: Path, sections: dict[str, Any], message: str
) -> None:
    shape = {
        "model_type": "llama",
        "hidden_size": 48,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "vocab_size": 99,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
    }
    (tmp_path / "config.json").write_text(json.dumps(shape))
    with pytest.raises(UserError, match=f"^{message}"):
        check_names({"": run(model=str(tmp_path), **sections)})
    check_names({"": run(model=str(tmp_path))})


OF_DEEPSPEED = """
from tests.stages.test_lookups import LearnerConfig, UserError, check_names, run

for settings in (
    {"zero_optimization": {"overlap_comm": True}},
    {"no_such_setting": 1},
    {"zero_optimization": {"overlap_com": True}},
):
    try:
        check_names({"": run(learner=LearnerConfig(deepspeed=settings))})
        print("taken")
    except UserError as error:
        print(error)
"""


@pytest.mark.real
def test_settings_of_deepspeed_are_looked_up_by_deepspeed_itself() -> None:
    """In a process of its own: the import is a heavy one."""
    said = subprocess.run([sys.executable, "-c", OF_DEEPSPEED], capture_output=True, text=True, timeout=120)
    taken, unknown, unknown_inside = said.stdout.splitlines()
    assert taken == "taken"
    assert unknown == "learner.deepspeed.no_such_setting: DeepSpeed has no such setting; needs another, or none."
    assert unknown_inside.startswith("learner.deepspeed: DeepSpeedZeroConfig: overlap_com=True: ")
    assert "Traceback" not in said.stderr and "WARNING" not in said.stderr
