"""The best split of the GPUs by simulation, and a run on 1,024 of them."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

from r1ray import main as cli
from r1ray.commands.compose import compose
from r1ray.planning.plan import Plan, plan_run
from r1ray.simulation.costs import costs_of
from r1ray.simulation.result import simulate
from r1ray.simulation.splits import splits_of

LARGE = (
    *("recipe=r1_zero", "model=qwen2.5_32b", "data.train=t", "reward.parts={accuracy: {}}", "plan.gpu=h100"),
    *("algo=async", "algo.prompts_per_step=128", "algo.group_size=16", "algo.max_completion_tokens=8192"),
    *("algo.max_staleness=1", "learner.num_ranks=512", "learner.zero_stage=3", "rollout.num_actors=128"),
    *("rollout.gpus_per_actor=4", "reward.num_actors=64", "plan.completion_tokens=4000"),
)
"""512 GPUs that learn and 512 that generate."""


def large(*overrides: str) -> Plan:
    plan = plan_run(compose([*LARGE, *overrides]))
    assert not plan.problems
    return plan


def test_a_run_on_1024_gpus_is_simulated_in_seconds() -> None:
    plan, began = large("algo.prompts_per_step=256"), time.process_time()
    found = simulate(plan, num_steps=4)
    assert plan.num_gpus == 1024
    assert time.process_time() - began < 30
    assert found.bound_s <= found.step_s
    assert found.staleness_max <= 1
    assert found.dropped == 0
    assert found.step_s >= found.learn_s + found.publish_s


def test_the_best_split_of_1024_gpus_is_not_slower_than_the_one_that_was_asked_for() -> None:
    own, *others = splits_of(large("rollout.num_actors=64", "learner.num_ranks=768"))
    assert others == sorted(others, key=lambda split: split.step_s)
    assert {
        way.num_ranks + 4 * way.num_engines for way in (each.way for each in others) if way.placement != "colocated"
    } == {1024}
    best = others[0]
    assert best.step_s < own.step_s
    assert best.way.num_engines > own.way.num_engines, "engines are what this run lacks"


def test_faults_of_1024_gpus_cost_what_they_lose() -> None:
    quiet = simulate(large(), num_steps=12)
    faulty = simulate(large("plan.faults_a_day=0.2", "checkpoint.every=5"), num_steps=12)
    assert quiet.engine_faults == quiet.learner_faults == 0
    assert faulty.engine_faults > 0
    assert faulty.learner_faults > 0
    assert faulty.step_s > quiet.step_s


def test_what_the_plan_counts_of_a_step_the_simulation_counts_too() -> None:
    """The learner reads with its teachers, and the state of linear attention takes room in an engine's cache."""
    taught = large("recipe=on_policy_distill", "algo.teacher.model=Qwen/Qwen2.5-72B")
    lengths = [5000.0] * 64
    assert costs_of(taught).learn_s(lengths, 1) > costs_of(replace(taught, teachers=())).learn_s(lengths, 1)
    plan = large("model=qwen3.5_27b", "rollout.max_num_seqs=2048")
    (cache,) = (each.metrics["cache_tokens"] for each in plan.actors if each.section == "rollout")
    assert plan.shape.state_tokens > 0
    row = plan.batch.prompt_tokens + plan.batch.completion_tokens / 2 + plan.shape.state_tokens
    assert costs_of(plan).places == int(cache / row)


def test_the_command_says_what_waits_for_what(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["plan", *LARGE, "--simulate", "plan.simulated_steps=2", "algo.prompts_per_step=32"]
    assert cli.main(words) == 0
    printed = capsys.readouterr().out
    assert "simulated: a step of" in printed
    assert "(this plan)" in printed and "shortest" in printed
    assert cli.main([*words, "--json"]) == 0
    (plan,) = json.loads(capsys.readouterr().out)
    found = plan["simulated"]
    assert found["step_s"] >= found["bound_s"]
    assert found["splits"][0]["way"]["num_ranks"] == 512


def test_what_has_no_loop_is_not_simulated(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", "experiment=distill_qwen2.5_7b", "--simulate"]) == 2
    assert "needs a stage with both a learner and engines" in capsys.readouterr().err
