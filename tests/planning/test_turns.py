"""Engines and learner in turn on the same GPUs: what is there when, by arithmetic that is written out here."""

from __future__ import annotations

import pytest

from r1ray.commands.compose import compose
from r1ray.planning.advice import adapters, changed_config, nearest_change
from r1ray.planning.gpus import GIB
from r1ray.planning.memory import Actor
from r1ray.planning.plan import Plan, fits, plan_run
from r1ray.planning.turns import SECTION, Turns

P = 494_032_768
"""Parameters of Qwen2.5-0.5B: 151,936 x 896 of them are the embedding, which is the output layer too."""
SENT = 2 * (P + 151_936 * 896)
CONTEXT = 0.6 * GIB


def planned(*overrides: str) -> Plan:
    return plan_run(compose(["model=qwen2.5_0.5b", "cluster=one_gpu", "plan.gpu=rtx4090", "data.train=t", *overrides]))


def device(plan: Plan) -> Actor:
    (actor,) = [actor for actor in plan.actors if actor.section == SECTION]
    return actor


def turns(plan: Plan) -> Turns:
    assert plan.turns is not None
    return plan.turns


def total(plan: Plan, moment: str) -> float:
    return sum(item.bytes for item in device(plan).moments[moment])


def test_generation_has_the_engine_and_what_the_learner_leaves_on_the_device() -> None:
    engine = 0.85 * 23.5 * GIB
    left = {"all": 0, "optimizer": (2 + 2 + 4) * P + 1e9, "none": (2 + 2 + 4 + 12) * P + 1e9}  # and a bucket of 5e8
    for offload, size in left.items():
        plan = planned(f"colocated.offload={offload}")
        assert total(plan, "generation") == pytest.approx(engine + 1.05 * (size + CONTEXT))


def test_training_has_the_learner_and_the_context_of_an_engine_that_sleeps() -> None:
    alone = plan_run(compose(["model=qwen2.5_0.5b", "cluster=two_gpus", "plan.gpu=rtx4090", "data.train=t"]))
    assert alone.actors[0].section == "learner"
    for moment in ("forward and backward", "update"):
        own = sum(item.bytes for item in alone.actors[0].moments[moment])
        assert total(planned(), moment) == pytest.approx(own + CONTEXT)


def test_a_publish_has_both_copies_of_the_weights_and_no_cache() -> None:
    layer = 14_912_384  # attention 896 x 896 x 2 + 896 x 128 x 2 with biases, MLP 3 x 896 x 4,864, two norms
    buffer = 2 * 151_936 * 896  # the embedding, which is more than a bucket of 256 MiB
    engine = 2 * P + 1 * GIB + CONTEXT + buffer + 2 * layer
    sender = 2 * P + CONTEXT + buffer
    assert total(planned(), "publish") == pytest.approx(engine + 1.05 * sender, rel=1e-4)
    rest = (2 + 4 + 4 + 8) * P + 1e9
    assert total(planned("colocated.offload=none"), "publish") == pytest.approx(
        engine + 1.05 * (sender + rest), rel=1e-4
    )


def test_what_leaves_a_device_is_in_host_memory() -> None:
    plan = planned("checkpoint.every=0", "weights.snapshot=false")
    assert sum(item.bytes for item in device(plan).host) == 20 * P + 1 * GIB  # and the engine's CUDA graphs
    some = planned("checkpoint.every=0", "weights.snapshot=false", "colocated.offload=optimizer")
    assert sum(item.bytes for item in device(some).host) == 12 * P + 1 * GIB
    kept = planned("checkpoint.every=0", "weights.snapshot=false", "colocated.sleep_level=1")
    assert sum(item.bytes for item in device(kept).host) == 22 * P + 1 * GIB


def test_a_hand_over_takes_its_bytes_over_pcie_and_over_the_devices_memory() -> None:
    plan = planned()
    found = turns(plan)
    assert found.moved == 2 * (20 * P + 1 * GIB)
    assert found.move_s == pytest.approx(found.moved / (32e9 * 0.7) + 6 * 0.3)
    assert found.copied == 8 * SENT
    assert found.copy_s == pytest.approx(8 * SENT / 1.01e12)
    assert plan.step.hand_over == found.move_s and plan.step.publish == pytest.approx(found.copy_s + 0.07)
    parts = max(plan.step.generate, plan.step.score) + plan.step.learn + plan.step.publish + plan.step.hand_over
    assert plan.step.total == pytest.approx(parts)


def test_the_shortest_step_that_leaves_room_is_chosen() -> None:
    assert turns(planned()).offload == "all", "the cache takes what the learner would keep"
    assert turns(planned("plan.gpu=h100", "rollout.gpu_memory_utilization=0.5")).offload == "none"
    assert turns(planned("rollout.gpu_memory_utilization=0.45")).offload == "optimizer"
    assert turns(planned("rollout.gpu_memory_utilization=0.45", "colocated.offload=all")).offload == "all"
    assert turns(planned("learner.dtype=float32", "learner.zero_stage=0")).offload == "none", "it cannot be moved"


def test_weights_below_native_adapters_stay_in_host_memory() -> None:
    adapters = planned("learner.lora.rank=16", "algo.reference_refresh_updates=0")
    assert turns(adapters).sleep_level == 1
    assert "engine: weights" in {item.name for item in device(adapters).host}
    assert turns(planned()).sleep_level == 2


@pytest.mark.parametrize(
    "words",
    [
        ("model=qwen2.5_0.5b", "cluster=one_gpu", "plan.gpu=rtx4090"),
        ("model=qwen2.5_1.5b", "cluster=one_gpu", "plan.gpu=a100-80"),
        ("model=qwen2.5_7b", "cluster=one_node_8_colocated", "plan.gpu=a100-80"),
        ("model=qwen2.5_14b", "cluster=one_node_8_colocated"),
    ],
)
def test_what_ships_fits(words: tuple[str, ...]) -> None:
    plan = plan_run(compose([*words, "data.train=t"]))
    assert plan.problems == ()
    assert plan.num_gpus == plan.config.learner.num_ranks == plan.config.rollout.num_actors


def test_every_gpu_has_a_rank_and_an_engine() -> None:
    words = ("model=qwen2.5_7b", "cluster=one_node_8_colocated", "rollout.gpus_per_actor=4", "data.train=t")
    plan = plan_run(compose(words))
    assert plan.problems[0].text.startswith(
        "placement=colocated: learner.num_ranks=8 x 1, rollout.num_actors=8 x 4 GPUs are not one rank and one engine"
    )
    assert nearest_change(plan) == (("rollout.gpus_per_actor", 1),)


def test_adapters_are_proposed_where_a_whole_model_finds_no_room() -> None:
    plan = planned("model=qwen2.5_7b", "plan.gpu=l40s")
    assert plan.problems[0].section == SECTION
    (chosen,) = adapters(plan)
    assert chosen == (("learner.lora.rank", 32), ("algo.reference_refresh_updates", 0))
    changed = changed_config(plan.config, chosen)
    assert changed is not None and fits(changed)


def test_cpus_share_no_device_and_move_the_learners_state_only() -> None:
    plan = planned("cluster=cpu", "placement=colocated", "plan.gpu=cpu", "plan.memory_gib=64")
    assert [actor.section for actor in plan.actors] == ["learner", "rollout"]
    assert turns(plan).moved == 2 * (4 + 4 + 4 + 12) * P  # all in float32
