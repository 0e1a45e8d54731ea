"""The same GPUs in turn or apart: which has the shorter step."""

from __future__ import annotations

import pytest

from r1ray.commands.compose import compose
from r1ray.planning.plan import plan_run
from r1ray.planning.report import report
from r1ray.planning.ways import Way, shortest, ways_of


def ways(*overrides: str) -> list[Way]:
    return ways_of(plan_run(compose([*overrides, "data.train=t"])))


def kinds(found: list[Way]) -> list[tuple[str, int, int, int]]:
    return [(way.placement, way.num_ranks, way.num_engines, way.max_staleness) for way in found]


def test_eight_gpus_in_turn_are_compared_with_the_best_halves() -> None:
    found = ways("model=qwen2.5_7b", "cluster=one_node_8_colocated")
    assert kinds(found) == [("colocated", 8, 8, 0), ("separate", 4, 4, 0), ("separate", 4, 4, 1)]
    apart = plan_run(compose(["model=qwen2.5_7b", "cluster=one_node_8", "data.train=t"]))
    assert found[1].step_s == apart.step.total
    assert shortest(found).placement == "colocated", "nothing waits while the others work"


def test_halves_are_compared_with_all_in_turn() -> None:
    found = ways("model=qwen2.5_7b", "cluster=one_node_8")
    assert kinds(found) == [("separate", 4, 4, 0), ("colocated", 8, 8, 0), ("separate", 4, 4, 1)]


def test_apart_is_shorter_where_a_hand_over_costs_more_than_it_spares() -> None:
    few = [
        *("algo.prompts_per_step=1", "algo.group_size=2", "algo.minibatches_per_step=1"),
        *("algo.max_completion_tokens=64", "learner.max_tokens_per_microbatch=2048"),
    ]
    found = ways("model=qwen2.5_0.5b", "cluster=two_gpus", *few)
    assert shortest(found).placement == "separate"


@pytest.mark.parametrize("words", [("cluster=one_gpu",), ("cluster=cpu", "plan.memory_gib=64")])
def test_where_nothing_can_be_divided_there_is_one_way_or_none(words: tuple[str, ...]) -> None:
    assert len(ways("model=qwen2.5_0.5b", *words)) == (1 if words[0] == "cluster=one_gpu" else 0)


def test_recipes_without_learner_or_engines_have_no_choice() -> None:
    assert ways("model=qwen2.5_0.5b", "cluster=one_gpu", "recipe=sft", "supervised.train=t") == []
    assert ways("model=qwen2.5_0.5b", "cluster=one_node_8_engines", "recipe=collect") == []


def test_the_report_shows_each_and_the_shortest() -> None:
    plan = plan_run(compose(["model=qwen2.5_7b", "cluster=one_node_8_colocated", "data.train=t"]))
    lines = report(plan, ways_of(plan)).splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("placement of learner and engines"))
    own, apart, ahead = lines[start + 1 : start + 4]
    assert own.endswith("colocated, learner.num_ranks=8 rollout.num_actors=8  (this plan)  shortest")
    assert apart.endswith("separate, learner.num_ranks=4 rollout.num_actors=4")
    assert ahead.endswith("rollout.num_actors=4, algo=async"), "the paper's clip is not fit for it"
    assert any("to host memory and back" in line and "GB/s" in line for line in lines)


def test_the_report_names_the_staleness_where_the_objective_is_fit_for_it() -> None:
    bounded = ("algo.clip_high=0.2", "algo.dual_clip=3")
    plan = plan_run(compose(["model=qwen2.5_7b", "cluster=one_node_8_colocated", "data.train=t", *bounded]))
    assert "algo.max_staleness=1" in report(plan, ways_of(plan))
