from __future__ import annotations

import pytest

from r1ray.cluster.launch import weight_backend
from r1ray.cluster.placement import Needs, check_fits, evaluation_needs, local_gpus, needs
from r1ray.config import (
    DataConfig,
    EvalConfig,
    EvaluationConfig,
    JudgeConfig,
    LearnerConfig,
    RewardConfig,
    RewardModelConfig,
    RewardPart,
    RolloutConfig,
    RunConfig,
    SupervisedConfig,
    WeightsConfig,
)
from r1ray.errors import UserError


def config(**sections: object) -> RunConfig:
    sections.setdefault("reward", RewardConfig())
    assert isinstance(sections["reward"], RewardConfig)
    sections["reward"].parts = {"accuracy": RewardPart()}
    return RunConfig(model="m", data=DataConfig(train="t"), **sections)  # type: ignore[arg-type]


def fit(asked: RunConfig, *, cpus: float, gpus: float) -> Needs:
    return check_fits(needs(asked, cluster_has_gpus=gpus > 0), cpus=cpus, gpus=gpus)


def test_on_cpus_nothing_asks_for_gpus() -> None:
    need = fit(config(), cpus=2, gpus=0)
    assert (need.cpus, need.gpus, need.of("rollout").gpus) == (2, 0, 0)


def test_on_gpus_each_rank_and_engine_gets_one() -> None:
    need = fit(config(rollout=RolloutConfig(num_actors=4), learner=LearnerConfig(num_ranks=4)), cpus=8, gpus=8)
    assert (need.gpus, len(need.bundles)) == (8, 8)


def test_a_tensor_parallel_engine_is_one_bundle() -> None:
    need = needs(config(rollout=RolloutConfig(gpus_per_actor=4)), cluster_has_gpus=True)
    assert need.bundles[-1] == {"CPU": 1, "GPU": 4}


def test_reward_actors_count_where_they_take_cpus() -> None:
    need = needs(config(reward=RewardConfig(num_actors=3, cpus_per_actor=0.5)), cluster_has_gpus=False)
    assert need.cpus == 3.5
    assert need.bundle("reward", 2) == 4
    assert needs(config(), cluster_has_gpus=False).bundle("reward", 0) is None


def test_a_fine_tuning_run_needs_a_learner_alone() -> None:
    asked = RunConfig(recipe="sft", model="m", supervised=SupervisedConfig(train="t", max_tokens=64))
    assert [kind.section for kind in needs(asked, cluster_has_gpus=False).kinds] == ["learner"]


def test_engines_that_only_evaluate_are_like_the_rollout_engines() -> None:
    need = needs(config(eval=EvalConfig(num_actors=2), rollout=RolloutConfig(gpus_per_actor=2)), cluster_has_gpus=True)
    assert [need.bundles[index] for index in (1, 2, 3)] == [{"CPU": 1, "GPU": 2}] * 3
    assert need.bundle("eval", 1) == 3


def test_each_preference_model_has_actors_of_its_own() -> None:
    models = {"helpful": {"model": "h", "num_actors": 2}, "harmless": {"model": "s", "gpus_per_actor": 0}}
    need = needs(config(reward=RewardConfig(models=models)), cluster_has_gpus=True)
    assert [kind.section for kind in need.kinds][-2:] == ["reward.models.helpful", "reward.models.harmless"]
    assert need.bundles[need.bundle("reward.models.helpful", 1) or 0] == {"CPU": 1, "GPU": 1}
    assert need.bundles[need.bundle("reward.models.harmless", 0) or 0] == {"CPU": 1}
    message = r"reward.models.helpful.num_actors=2 x reward.models.helpful.gpus_per_actor=1 .*there are 3"
    with pytest.raises(UserError, match=message):
        check_fits(need, cpus=8, gpus=3)


def test_an_evaluation_needs_engines_and_whatever_judges_their_answers() -> None:
    asked = EvaluationConfig(
        model="m",
        benchmarks="aime_2024",
        data="d",
        reward=RewardConfig(parts={"accuracy": {}}),
        judge=JudgeConfig(model="j", engine=RolloutConfig(num_actors=2)),
        reward_model=RewardModelConfig(model="r"),
    )
    need = evaluation_needs(asked, cluster_has_gpus=True)
    assert {kind.section: kind.count for kind in need.kinds} == {
        "rollout": 1,
        "reward": 1,
        "judge.engine": 2,
        "reward_model": 1,
    }
    assert (need.gpus, need.bundle("judge.engine", 1), need.bundle("reward_model", 0)) == (4, 2, 3)


def test_too_few_cpus_say_the_arithmetic_and_the_keys() -> None:
    with pytest.raises(UserError, match=r"needs 4 CPUs \(learner.num_ranks=1 .* rollout.num_actors=3 .*there are 2"):
        fit(config(rollout=RolloutConfig(num_actors=3)), cpus=2, gpus=0)


def test_too_few_gpus_say_the_arithmetic_and_the_keys() -> None:
    with pytest.raises(UserError, match=r"needs 9 GPUs .*rollout.gpus_per_actor=8\), but there are 8"):
        fit(config(rollout=RolloutConfig(gpus_per_actor=8)), cpus=64, gpus=8)


@pytest.mark.parametrize(("gpus", "backend"), [(False, "r1ray_gloo"), (True, "r1ray_nccl")])
def test_the_weights_go_over_nccl_where_there_are_gpus(gpus: bool, backend: str) -> None:
    assert weight_backend(config(), needs(config(), cluster_has_gpus=gpus)) == backend


def test_nccl_without_gpus_is_refused() -> None:
    asked = config(weights=WeightsConfig(backend="nccl"))
    with pytest.raises(UserError, match=r"weights\.backend=nccl needs GPUs"):
        weight_backend(asked, needs(asked, cluster_has_gpus=False))


@pytest.mark.parametrize(("visible", "count"), [("0,1,3", 3), ("", 0), ("-1", 0)])
def test_hidden_gpus_do_not_count(monkeypatch: pytest.MonkeyPatch, visible: str, count: int) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert local_gpus() == count
