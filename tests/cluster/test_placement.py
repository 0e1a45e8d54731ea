from __future__ import annotations

import pytest

from r1ray.cluster.launch import weight_backend
from r1ray.cluster.placement import (
    Needs,
    Node,
    check_fits,
    missing,
    needs,
    order_of_groups,
    preflight,
)
from r1ray.config import (
    ClusterConfig,
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
    decisive,
)
from r1ray.config.router import RouterConfig
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


COLOCATED = {"placement": "colocated"}


def test_in_turns_ranks_are_in_the_bundles_of_engines_each_with_half_a_gpu() -> None:
    both = {"rollout": RolloutConfig(num_actors=4), "learner": LearnerConfig(num_ranks=4, cpus_per_rank=2)}
    need = fit(config(**both, **COLOCATED), cpus=8, gpus=4)
    assert need.bundles == ({"CPU": 2, "GPU": 1},) * 4 and need.is_colocated
    assert [need.bundle(section, 3) for section in ("learner", "rollout")] == [3, 3]
    assert need.of("learner").taken == need.of("rollout").taken == {"GPU": 0.5}
    assert need.of_group("learner") == [] and len(need.of_group("models")) == 4
    assert weight_backend(WeightsConfig(), need) == "r1ray_ipc"
    with pytest.raises(UserError, match=r"needs 4 GPUs \(rollout.num_actors=4 x rollout.gpus_per_actor=1\), .* 2"):
        fit(config(**both, **COLOCATED), cpus=8, gpus=2)


@pytest.mark.parametrize(("ranks", "engines", "places"), [(2, 1, [0, 0]), (1, 2, [0]), (3, 2, [0, 0, 1])])
def test_in_turns_ranks_share_cores_with_engines(ranks: int, engines: int, places: list[int]) -> None:
    rollout, learner = RolloutConfig(num_actors=engines), LearnerConfig(num_ranks=ranks, cpus_per_rank=0.75)
    need = fit(config(rollout=rollout, learner=learner, **COLOCATED), cpus=3, gpus=0)
    assert [need.bundle("learner", rank) for rank in range(ranks)] == places
    assert need.bundles == ({"CPU": max(1.0, 0.75 * -(-ranks // engines))},) * engines
    assert need.of("rollout").taken == {} and weight_backend(WeightsConfig(), need) == "r1ray_gloo"


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"learner": LearnerConfig(num_ranks=2)}, "learner.num_ranks=2 .* as many actors as ranks"),
        ({"rollout": RolloutConfig(gpus_per_actor=2)}, "needs rollout.gpus_per_actor=1"),
        ({"learner": LearnerConfig(gpus_per_rank=0)}, "learner.gpus_per_rank=0.* needs 1 for both, or 0 for both"),
    ],
)
def test_in_turns_a_gpu_has_one_rank_and_one_engine(sections: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        needs(config(**sections, **COLOCATED), cluster_has_gpus=True)


def test_a_tensor_parallel_engine_is_one_bundle() -> None:
    need = needs(config(rollout=RolloutConfig(gpus_per_actor=4)), cluster_has_gpus=True)
    assert need.bundles[-1] == {"CPU": 1, "GPU": 4}


def test_reward_actors_count_where_they_take_cpus() -> None:
    need = needs(config(reward=RewardConfig(num_actors=3, cpus_per_actor=0.5)), cluster_has_gpus=False)
    assert need.cpus == 3.5
    assert need.bundle("reward", 2) == 2
    assert needs(config(), cluster_has_gpus=False).bundle("reward", 0) is None


def test_a_fine_tuning_run_needs_a_learner_alone() -> None:
    asked = RunConfig(recipe="sft", model="m", supervised=SupervisedConfig(train="t", max_tokens=64))
    assert [kind.section for kind in needs(asked, cluster_has_gpus=False).kinds] == ["learner"]


def test_engines_that_only_evaluate_are_like_the_rollout_engines() -> None:
    need = needs(config(eval=EvalConfig(num_actors=2), rollout=RolloutConfig(gpus_per_actor=2)), cluster_has_gpus=True)
    assert [kind.bundle for kind in need.of_group("models")] == [{"CPU": 1, "GPU": 2}] * 3
    assert (need.bundle("rollout", 0), need.bundle("eval", 1), need.bundle("learner", 0)) == (0, 2, 0)


def test_each_preference_model_has_actors_of_its_own() -> None:
    models = {"helpful": {"model": "h", "num_actors": 2}, "harmless": {"model": "s", "gpus_per_actor": 0}}
    need = needs(config(reward=RewardConfig(models=models)), cluster_has_gpus=True)
    assert [kind.section for kind in need.kinds][-2:] == ["reward.models.helpful", "reward.models.harmless"]
    assert [kind.bundle for kind in need.of_group("models")][1:] == [{"CPU": 1, "GPU": 1}] * 2 + [{"CPU": 1}]
    assert [need.bundle(f"reward.models.{name}", 0) for name in ("helpful", "harmless")] == [1, 3]
    message = r"reward.models.helpful.num_actors=2 x reward.models.helpful.gpus_per_actor=1.*there are 3"
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
    need = needs(asked, cluster_has_gpus=True)
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
    assert weight_backend(config().weights, needs(config(), cluster_has_gpus=gpus)) == backend


def test_nccl_without_gpus_is_refused() -> None:
    asked = config(weights=WeightsConfig(backend="nccl"))
    with pytest.raises(UserError, match=r"weights\.backend=nccl needs GPUs"):
        weight_backend(asked.weights, needs(asked, cluster_has_gpus=False))


def test_nccl_is_refused_before_ray_starts_where_the_machine_has_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("r1ray.cluster.placement.local_gpus", lambda: 0)
    monkeypatch.setattr("r1ray.cluster.placement.available_cpus", lambda: 64)
    preflight(config())
    with pytest.raises(UserError, match=r"nccl needs GPUs .*; a rank has 0, an engine 0: use gloo, or auto"):
        preflight(config(weights=WeightsConfig(backend="nccl")))
    monkeypatch.setattr("r1ray.cluster.placement.local_gpus", lambda: 2)
    preflight(config(weights=WeightsConfig(backend="nccl")))


def test_routing_replay_needs_engines_on_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = config(learner=LearnerConfig(router=RouterConfig(replay=True)))
    monkeypatch.setattr("r1ray.cluster.placement.available_cpus", lambda: 4.0)
    monkeypatch.setattr("r1ray.cluster.placement.local_gpus", lambda: 0)
    with pytest.raises(UserError, match=r"learner.router.replay=true: engines on CPUs do not say"):
        preflight(asked)
    monkeypatch.setattr("r1ray.cluster.placement.local_gpus", lambda: 2)
    preflight(asked)


EIGHT = Node({"CPU": 64, "GPU": 8})
"""A usual node."""


def lacks(asked: RunConfig, *nodes: Node) -> str:
    return missing(needs(asked, cluster_has_gpus=any(node.resources.get("GPU") for node in nodes)), nodes) or ""


def test_a_kind_takes_its_resources_and_wants_its_labels() -> None:
    asked = config(rollout=RolloutConfig(resources={"rollout_node": 0.001}, labels={"tier": "a"}))
    kind = needs(asked, cluster_has_gpus=False).of("rollout")
    assert (kind.bundle, kind.labels) == ({"CPU": 1, "rollout_node": 0.001}, {"tier": "a"})
    assert lacks(asked, Node({"CPU": 2, "rollout_node": 1}, {"tier": "a"})) == ""


@pytest.mark.parametrize(
    ("rollout", "nodes", "message"),
    [
        (
            RolloutConfig(labels={"tier": "rollout"}),
            [Node({"CPU": 8}, {"tier": "head"}), Node({"CPU": 8}, {"tier": "learner"})],
            "no node's label tier is rollout (rollout.labels): nodes have head, learner",
        ),
        (
            RolloutConfig(labels={"zone": "in(a, b)"}),
            [Node({"CPU": 8})],
            "no node's label zone is in(a, b) (rollout.labels): no node has that label",
        ),
        (
            RolloutConfig(labels={"zone": "a", "tier": "!spot"}),
            [Node({"CPU": 8}, {"zone": "a", "tier": "spot"}), Node({"CPU": 8}, {"zone": "b"})],
            "no node has all the labels zone=a, tier=!spot (rollout.labels)",
        ),
        (
            RolloutConfig(gpus_per_actor=8),
            [Node({"CPU": 64, "GPU": 4})] * 4,
            "no node has 8 GPUs at once (rollout.gpus_per_actor=8), the largest has 4",
        ),
        (
            RolloutConfig(labels={"zone": "a"}, gpus_per_actor=2),
            [Node({"CPU": 8, "GPU": 1}, {"zone": "a"}), Node({"CPU": 8, "GPU": 8})],
            "no node with rollout.labels has 2 GPUs at once (rollout.gpus_per_actor=2), the largest has 1",
        ),
        (
            RolloutConfig(labels={"zone": "a"}, num_actors=3),
            [Node({"CPU": 8, "GPU": 2}, {"zone": "a"}), EIGHT],
            "nodes with rollout.labels have 2 GPUs in all, but rollout.num_actors=3 x rollout.gpus_per_actor=1 is 3 "
            "GPUs",
        ),
        (
            RolloutConfig(resources={"rollout_node": 1}),
            [Node({"CPU": 8})],
            "no node has 1 rollout_node at once (rollout.resources.rollout_node=1), the largest has 0",
        ),
        (
            RolloutConfig(cpus_per_actor=16, gpus_per_actor=1),
            [Node({"CPU": 64}), Node({"CPU": 8, "GPU": 8})],
            "no node has 16 CPUs and 1 GPU at once (rollout.cpus_per_actor=16, rollout.gpus_per_actor=1); there are "
            "1 x (64 CPUs and 0 GPUs), 1 x (8 CPUs and 8 GPUs)",
        ),
        (
            RolloutConfig(num_actors=4, gpus_per_actor=2),
            [Node({"CPU": 64, "GPU": 3})] * 3,
            "there is enough in all, but it is split so that only 3 of 4 rollout actors find a node with 1 CPU and 2 "
            "GPUs beside the others (nodes: 3 x (64 CPUs and 3 GPUs)); change rollout.num_actors, "
            "rollout.cpus_per_actor, rollout.gpus_per_actor, or labels that bind others to the same nodes",
        ),
        (
            RolloutConfig(num_actors=16),
            [EIGHT, EIGHT],
            "the run needs 17 GPUs (learner.num_ranks=1 x learner.gpus_per_rank=1 + rollout.num_actors=16 x "
            "rollout.gpus_per_actor=1), but there are 16",
        ),
    ],
)
def test_what_a_cluster_lacks_is_said_with_its_key(rollout: RolloutConfig, nodes: list[Node], message: str) -> None:
    assert lacks(config(rollout=rollout), *nodes) == message


def test_actors_that_take_nothing_need_their_labels_too() -> None:
    asked = config(reward=RewardConfig(labels={"tier": "cpu"}))
    assert lacks(asked, Node({"CPU": 4})).startswith("no node's label tier is cpu (reward.labels)")
    assert lacks(asked, Node({"CPU": 4}), Node({"CPU": 0}, {"tier": "cpu"})) == ""


def test_a_learner_and_tensor_parallel_engines_share_whole_nodes() -> None:
    asked = config(learner=LearnerConfig(num_ranks=8), rollout=RolloutConfig(num_actors=2, gpus_per_actor=4))
    assert lacks(asked, EIGHT, EIGHT) == ""


def test_engines_come_first_where_ranks_would_take_their_node() -> None:
    asked = config(learner=LearnerConfig(num_ranks=4), rollout=RolloutConfig(gpus_per_actor=8))
    nodes = [Node({"CPU": 96, "GPU": 8}), Node({"CPU": 16, "GPU": 4})]
    assert order_of_groups(needs(asked, cluster_has_gpus=True), nodes) == ("models", "learner", "reward")


def test_an_engine_over_nodes_needs_a_node_for_each_part() -> None:
    asked = config(rollout=RolloutConfig(gpus_per_actor=16, nodes_per_actor=2), learner=LearnerConfig(num_ranks=8))
    assert lacks(asked, EIGHT, EIGHT, EIGHT) == ""
    four = Node({"CPU": 96, "GPU": 4})
    assert lacks(asked, *[four] * 6) == (
        "no node has 8 GPUs at once (rollout.gpus_per_actor=16 / rollout.nodes_per_actor=2), the largest has 4"
    )
    assert lacks(asked, EIGHT, EIGHT).startswith("the run needs 24 GPUs")
    assert "only 0 of 2 rollout parts of actors find a node with 1 CPU and 8 GPUs" in lacks(
        config(rollout=RolloutConfig(gpus_per_actor=16, nodes_per_actor=2, cpus_per_actor=2)), EIGHT, *[four] * 3
    )


@pytest.mark.parametrize(
    ("gpus", "engine_args", "sizes"),
    [
        (8, {}, (8, 1)),
        (8, {"pipeline_parallel_size": 2}, (4, 2)),
        (0, {}, (1, 1)),
        (4, {"tensor_parallel_size": 4}, (4, 1)),
    ],
)
def test_an_engine_uses_the_gpus_of_its_bundle(gpus: int, engine_args: dict[str, int], sizes: tuple[int, int]) -> None:
    rollout = RolloutConfig(gpus_per_actor=gpus, engine_args=engine_args)
    assert tuple(rollout.parallel_sizes(gpus).values()) == sizes
    assert judged_by(rollout).of("judge.engine").gpus == gpus


def judged_by(engine: RolloutConfig) -> Needs:
    judge, reward = JudgeConfig(model="j", engine=engine), RewardConfig(parts={"accuracy": {}})
    asked = EvaluationConfig(model="m", benchmarks="aime_2024", data="d", judge=judge, reward=reward)
    return needs(asked, cluster_has_gpus=True)


def test_an_engine_on_two_nodes_is_two_bundles_with_half_of_everything() -> None:
    engine = RolloutConfig(
        num_actors=2, nodes_per_actor=2, cpus_per_actor=4, gpus_per_actor=16, resources={"rollout_node": 0.02}
    )
    need = needs(config(rollout=engine), cluster_has_gpus=True)
    half = {"CPU": 2, "GPU": 8, "rollout_node": 0.01}
    assert [kind.bundle for kind in need.of_group("models")] == [half] * 4
    assert (need.gpus, need.of("rollout").count) == (33, 2)
    assert [need.bundle("rollout", index, part) for index in range(2) for part in range(2)] == [0, 1, 2, 3]
    assert engine.parallel_sizes(16) == {"tensor_parallel_size": 8, "pipeline_parallel_size": 2}


def test_a_spread_engine_has_a_gpu_of_each_node_where_nothing_is_said() -> None:
    need = needs(config(rollout=RolloutConfig(nodes_per_actor=2)), cluster_has_gpus=True)
    assert [kind.bundle for kind in need.of_group("models")] == [{"CPU": 0.5, "GPU": 1}] * 2


def test_an_engine_without_gpus_is_a_pipeline_over_its_nodes() -> None:
    engine = RolloutConfig(nodes_per_actor=2)
    need = needs(config(rollout=engine), cluster_has_gpus=False)
    assert [kind.bundle for kind in need.of_group("models")] == [{"CPU": 0.5}] * 2
    assert engine.parallel_sizes(0) == {"tensor_parallel_size": 1, "pipeline_parallel_size": 2}


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        (
            RolloutConfig(gpus_per_actor=8, engine_args={"tensor_parallel_size": 8, "pipeline_parallel_size": 2}),
            r"judge.engine.engine_args: .* is 16 GPUs, but judge.engine.gpus_per_actor=8.*nodes_per_actor",
        ),
        (
            RolloutConfig(gpus_per_actor=9, nodes_per_actor=2),
            r"judge.engine.gpus_per_actor=9 are not judge.engine.nodes_per_actor=2 equal parts",
        ),
        (
            RolloutConfig(gpus_per_actor=0, nodes_per_actor=2, engine_args={"pipeline_parallel_size": 3}),
            r"judge.engine.engine_args: .* is 3 processes, and judge.engine.nodes_per_actor=2",
        ),
    ],
)
def test_an_engine_that_its_nodes_cannot_share_is_refused(engine: RolloutConfig, message: str) -> None:
    with pytest.raises(UserError, match=message):
        judged_by(engine)


def test_who_runs_on_which_node_is_not_the_users_to_tell_vllm() -> None:
    with pytest.raises(ValueError, match=r"rollout.engine_args.nnodes: .*rollout.nodes_per_actor"):
        RolloutConfig(engine_args={"nnodes": 2})


def test_a_machine_by_itself_has_no_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    asked = config(
        learner=LearnerConfig(cpus_per_rank=0.1), rollout=RolloutConfig(cpus_per_actor=0.1, labels={"a": "b"})
    )
    with pytest.raises(UserError, match="on this machine no node's label a is b"):
        preflight(asked)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"resources": {"CPU": 1.0}}, "rollout.resources: CPU is no custom resource"),
        ({"resources": {"a": 0.0}}, "rollout.resources.a=0.0: needs at least 0.0001"),
        ({"labels": {"a b": "c"}}, "rollout.labels: a b is no name of a label"),
        ({"labels": {"a": "in(b"}}, r"rollout.labels.a=in\(b: needs a value, !VALUE, in\("),
    ],
)
def test_what_ray_does_not_take_is_refused(section: dict[str, dict[str, object]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RolloutConfig(**section)  # type: ignore[arg-type]


def test_where_actors_run_makes_no_other_run() -> None:
    judge = JudgeConfig(model="j", engine=RolloutConfig(num_actors=2, labels={"a": "b"}))
    models = {"helpful": {"model": "h", "labels": {"a": "b"}, "resources": {"r": 1}}}
    placed = config(
        learner=LearnerConfig(resources={"r": 1}, labels={"a": "b"}),
        rollout=RolloutConfig(resources={"r": 1}, labels={"a": "b"}),
        reward=RewardConfig(resources={"r": 1}, labels={"a": "b"}, models=models),
        judge=judge,
        cluster=ClusterConfig(wait_s=600),
    )
    elsewhere = config(reward=RewardConfig(models={"helpful": {"model": "h"}}), judge=JudgeConfig(model="j"))
    assert decisive(placed) == decisive(elsewhere)


@pytest.mark.parametrize("given", [{"labels": "a"}, {"resources": {"a": "b"}}])
def test_a_preference_models_placement_is_checked(given: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"reward\.models\.helpful.*needs an object such as"):
        RewardConfig(models={"helpful": {"model": "h", **given}})
