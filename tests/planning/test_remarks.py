"""What a plan says of a run that works: time, checkpoints, deadlines, and how long it takes to end."""

from __future__ import annotations

import json

import pytest

from r1ray import main as cli
from r1ray.commands.compose import compose
from r1ray.planning.deadlines import ENDING_MULTIPLE, LEAVING_S
from r1ray.planning.plan import Plan, plan_run
from r1ray.planning.remarks import interval_s, remarks_of
from r1ray.planning.report import stages_table

SEVEN = ("model=qwen2.5_7b", "cluster=one_node_8", "data.train=t")
HOURLY = "checkpoint.every_minutes=60"


def seven(*overrides: str) -> Plan:
    return plan_run(compose([*SEVEN, *overrides]))


def keys_of(plan: Plan) -> list[str]:
    """The first word of each remark."""
    return [remark.split()[0].partition("=")[0] for remark in remarks_of(plan)]


def test_a_run_that_takes_too_long_is_said_with_the_steps_that_would_not() -> None:
    plan = seven("steps=10000", HOURLY)
    (remark,) = remarks_of(plan)
    days = plan.steps * plan.step.total / 86400
    assert days > 30 and f"{days:,.0f} days, more than plan.max_days=30" in remark
    fitting = int(remark.partition("steps=")[2].split()[0])
    assert remarks_of(seven(f"steps={fitting}", HOURLY)) == []
    assert remarks_of(seven(f"steps={fitting + 1}", HOURLY)) != []
    assert remarks_of(seven("steps=10000", HOURLY, f"plan.max_days={days + 1}")) == []
    assert "one step takes longer than that" in remarks_of(seven("plan.max_days=0.001", HOURLY))[0]


def test_stages_that_are_short_one_by_one_may_be_long_together() -> None:
    plan = seven("steps=100", HOURLY)
    assert remarks_of(plan) == []
    longest = plan.hours / 24 * 1.5
    twice = [seven("steps=100", HOURLY, f"plan.max_days={longest}")] * 2
    assert "the stages together take" in stages_table(twice)
    assert "together" not in stages_table(twice[:1])


def test_checkpoints_that_are_far_apart_are_said() -> None:
    plan = seven("steps=500", "checkpoint.every=50")
    assert interval_s(plan) == 50 * plan.step.total > 3 * 3600
    assert keys_of(plan) == ["checkpoints:"] and "checkpoint.every_minutes=60" in remarks_of(plan)[0]
    assert remarks_of(seven("steps=500", "checkpoint.every=50", HOURLY)) == []
    assert remarks_of(seven("steps=500", "checkpoint.every=1")) == []
    assert "none before the end" in remarks_of(seven("steps=500", "checkpoint.every=0"))[0]
    assert remarks_of(seven("steps=2", "checkpoint.every=50")) == [], "the whole run is short"
    by_clock = seven("checkpoint.every=0", "checkpoint.every_minutes=0.001")
    assert interval_s(by_clock) == by_clock.step.total, "they are written at the end of a step"


@pytest.mark.parametrize("asynchronous", [True, False])
def test_checkpoints_that_cost_time_are_said(asynchronous: bool) -> None:
    own = ("steps=500", "checkpoint.every=1", f"checkpoint.asynchronous={asynchronous}".lower())
    plan = seven(*own)
    seconds = sum(plan.disk.checkpoint.values()) / 1e9
    slow = seconds / plan.step.total * (0.9 if asynchronous else 5)  # GB/s at which writing takes longer than it may
    fast = seconds / plan.step.total * (1.1 if asynchronous else 20)
    assert remarks_of(seven(*own, f"plan.storage_gb_s={fast}")) == []
    (remark,) = remarks_of(seven(*own, f"plan.storage_gb_s={slow}"))
    assert ("the next one waits" if asynchronous else "training waits") in remark and "checkpoint.every" in remark


def test_a_step_that_its_deadline_would_end_is_said() -> None:
    own = ("steps=100", HOURLY)
    assert remarks_of(seven(*own, "deadlines.learn_s=60"))[-1].startswith("deadlines.learn_s=60 may end the run, learn")
    assert remarks_of(seven(*own, "deadlines.learn_s=1e6", "deadlines.generate_s=1e6")) == []


def test_a_run_ends_after_what_it_has_begun_and_its_checkpoint() -> None:
    plan = seven()
    written = 2 * sum(plan.disk.checkpoint.values()) / 1e9
    assert plan.ending_s == pytest.approx(ENDING_MULTIPLE * (plan.step.learn + plan.step.publish + written) + LEAVING_S)
    faster = seven("plan.storage_gb_s=2")
    assert plan.ending_s - faster.ending_s == pytest.approx(ENDING_MULTIPLE * written / 2)
    assert seven("data.eval=t").ending_s > plan.ending_s, "an evaluation that has begun is finished"
    streams = seven("algo.stream_minibatches=true")
    assert streams.ending_s - plan.ending_s > streams.step.generate, "so is a step, which begins with its first part"


def test_the_time_to_end_is_printed_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", "--ending", *SEVEN]) == 0
    printed = capsys.readouterr().out
    assert printed.strip().isdigit() and int(printed) - 1 < seven().ending_s <= int(printed)
    assert cli.main(["plan", "--json", *SEVEN]) == 0
    assert json.loads(capsys.readouterr().out)[0]["ending_s"] == seven().ending_s
    assert cli.main(["plan", "--ending", "recipe=extend", "model=Qwen/Qwen2.5-1.5B"]) == 0
    assert capsys.readouterr().out == "0\n"
    assert cli.main(["plan", "--ending", *SEVEN, "rollout.num_actors=8"]) == 2
