"""Deadlines that a run has because of what its phases are expected to take."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from r1ray import main as cli
from r1ray.commands.compose import compose
from r1ray.config import Deadlines, RunConfig
from r1ray.planning.deadlines import MULTIPLE
from r1ray.planning.plan import Plan, plan_run
from r1ray.planning.remarks import remarks_of

SEVENTY = ("model=llama_3.3_70b", "cluster=eight_nodes_8", "data.train=t", "plan.completion_tokens=8192")


def planned(*overrides: str) -> Plan:
    return plan_run(compose(overrides))


def test_a_step_that_takes_longer_than_the_least_has_a_multiple_of_it() -> None:
    plan = planned(*SEVENTY)
    assert plan.step.learn > Deadlines().learn_s, "else this shows nothing"
    assert plan.deadlines.learn_s == pytest.approx(MULTIPLE * plan.step.learn, abs=1)
    assert plan.deadlines.checkpoint_s == pytest.approx(MULTIPLE * sum(plan.disk.checkpoint.values()) / 1e9, abs=1)
    assert not [remark for remark in remarks_of(plan) if remark.startswith("deadlines.")]


@pytest.mark.parametrize(
    "overrides", [["model=qwen2.5_0.5b"], ["recipe=sft", "supervised.train=t", "model=qwen2.5_0.5b"]]
)
def test_no_deadline_is_below_the_least(overrides: list[str]) -> None:
    found, least = asdict(planned("cluster=two_gpus", "data.train=t", *overrides).deadlines), asdict(Deadlines())
    assert all(found[key] >= least[key] for key in least)


def test_what_the_user_sets_is_taken_as_it_is() -> None:
    plan = planned(*SEVENTY, "deadlines.learn_s=1800", "deadlines.publish_s=7", "deadlines.score_s=null")
    assert (plan.deadlines.learn_s, plan.deadlines.publish_s, plan.deadlines.score_s) == (1800, 7, 600)
    assert remarks_of(plan)[-1].startswith("deadlines.learn_s=1800 may end the run, learn is expected to take ")


def test_slower_storage_gives_checkpoints_and_starts_more_time() -> None:
    slow = planned(*SEVENTY, "plan.storage_gb_s=0.1").deadlines
    assert slow.checkpoint_s == pytest.approx(10 * planned(*SEVENTY).deadlines.checkpoint_s, rel=1e-3)
    assert slow.start_s == pytest.approx(MULTIPLE * 70.55e9 * 2 / 1e8, rel=1e-3)


def test_one_answer_of_a_collection_does_not_wait_for_all_of_them() -> None:
    collect = ("recipe=collect", "model=qwen2.5_7b", "cluster=one_node_8_engines", "data.train=t")
    few, many = (planned(*collect, f"collect.samples={samples}").deadlines for samples in (64, 256))
    assert many.generate_s < 2 * few.generate_s


def test_the_plan_shows_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", *SEVENTY, "deadlines.publish_s=7"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("deadlines: ")]
    assert "publish 7 s (set)" in line and "score 10.0 min," in line


def test_a_configuration_that_nothing_was_planned_for_has_the_least() -> None:
    assert RunConfig(graph={"one": {}}).deadlines.decided == Deadlines()
