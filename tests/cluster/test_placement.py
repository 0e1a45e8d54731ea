from __future__ import annotations

import pytest

from r1ray.cluster.launch import weight_backend
from r1ray.cluster.placement import check_fits, local_gpus, needs
from r1ray.config import DataConfig, LearnerConfig, RewardConfig, RewardPart, RolloutConfig, RunConfig, WeightsConfig
from r1ray.errors import UserError


def config(**sections: object) -> RunConfig:
    sections.setdefault("reward", RewardConfig())
    assert isinstance(sections["reward"], RewardConfig)
    sections["reward"].parts = {"accuracy": RewardPart()}
    return RunConfig(model="m", data=DataConfig(train="t"), **sections)  # type: ignore[arg-type]


def test_on_cpus_nothing_asks_for_gpus() -> None:
    need = check_fits(config(), cpus=2, gpus=0)
    assert (need.cpus, need.gpus, need.rollout_gpus) == (2, 0, 0)


def test_on_gpus_each_rank_and_engine_gets_one() -> None:
    need = check_fits(config(rollout=RolloutConfig(num_actors=4), learner=LearnerConfig(num_ranks=4)), cpus=8, gpus=8)
    assert (need.gpus, len(need.bundles)) == (8, 8)


def test_a_tensor_parallel_engine_is_one_bundle() -> None:
    need = needs(config(rollout=RolloutConfig(gpus_per_actor=4)), cluster_has_gpus=True)
    assert need.bundles[-1] == {"CPU": 1, "GPU": 4}


def test_reward_actors_count_where_they_take_cpus() -> None:
    need = needs(config(reward=RewardConfig(num_actors=3, cpus_per_actor=0.5)), cluster_has_gpus=False)
    assert need.cpus == 3.5


def test_too_few_cpus_say_the_arithmetic_and_the_keys() -> None:
    with pytest.raises(UserError, match=r"needs 4 CPUs \(learner.num_ranks=1 .* rollout.num_actors=3 .*there are 2"):
        check_fits(config(rollout=RolloutConfig(num_actors=3)), cpus=2, gpus=0)


def test_too_few_gpus_say_the_arithmetic_and_the_keys() -> None:
    with pytest.raises(UserError, match=r"needs 9 GPUs .*rollout.gpus_per_actor=8\), but there are 8"):
        check_fits(config(rollout=RolloutConfig(gpus_per_actor=8)), cpus=64, gpus=8)


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
