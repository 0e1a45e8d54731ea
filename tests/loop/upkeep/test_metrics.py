from __future__ import annotations

import dataclasses
from dataclasses import replace

import pytest

from r1ray.loop.upkeep.metrics import EngineTally, StepClock, batch_metrics, group_metrics
from r1ray.turns import AgentCalls, InEnvironment
from r1ray.types import EngineTimes, Scored, ScoredGroup, ScoringFailed
from tests.fakes import make_prompt
from tests.loop.groups import make_group

BATCH = [
    make_group("0/0", [Scored(1.0, {"accuracy": 1.0}), Scored(0.0, {"accuracy": 0.0})], lengths=[10, 10]),
    make_group("0/1", [Scored(1.0, {"accuracy": 1.0}), ScoringFailed("down")], lengths=[20, 20]),
    make_group("0/2", [Scored(-3.0, {"helpful": -3.0}), Scored(-1.0, {"helpful": -1.0})], lengths=[4, 4]),
]
PROMPTS = [dataclasses.replace(make_prompt(), domain=domain) for domain in ("math", "math", "general")]


def test_each_domain_has_its_share_reward_and_length() -> None:
    metrics = batch_metrics(BATCH, 0, prompts=PROMPTS, domains=["code", "general", "math"])
    assert (metrics["domain/math/share"], metrics["domain/general/share"], metrics["domain/code/share"]) == (
        2 / 3,
        1 / 3,
        0.0,
    )
    assert (metrics["domain/math/reward_mean"], metrics["domain/general/reward_mean"]) == (2 / 3, -2.0)
    assert metrics["domain/math/length_mean"] == 15.0
    assert metrics["domain/general/length_mean"] == 4.0
    assert not [name for name in metrics if name.startswith(("domain/code/reward", "domain/code/length"))]


def test_one_domain_has_no_metrics_of_its_own() -> None:
    assert not [name for name in batch_metrics(BATCH[:2], 0, prompts=PROMPTS[:2], domains=["math"]) if "math" in name]


def test_a_part_is_a_mean_over_those_that_have_it() -> None:
    metrics = batch_metrics(BATCH, 0)
    assert (metrics["reward/accuracy"], metrics["reward/helpful"]) == (2 / 3, -2.0)
    assert metrics["reward/mean"] == (1 + 0 + 1 - 3 - 1) / 5


def test_the_parts_of_a_step_add_up_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [10.0]
    monkeypatch.setattr("r1ray.loop.upkeep.metrics.time.monotonic", lambda: now[0])
    clock = StepClock()

    def lap(name: str, seconds: float) -> None:
        now[0] += seconds
        clock.lap(name)

    for name, seconds in (("idle_learner", 2.0), ("learn", 3.0), ("idle_learner", 0.5)):
        lap(name, seconds)
    now[0] += 0.25
    assert clock.stop() == {
        "time/idle_learner_s": 2.5,
        "time/learn_s": 3.0,
        "time/other_s": 0.25,
        "time/step_s": 5.75,
    }
    lap("learn", 1.0)
    assert clock.stop() == {"time/learn_s": 1.0, "time/other_s": 0.0, "time/step_s": 1.0}, "nothing is carried over"


def test_what_engines_did_is_of_the_step_and_adds_up_to_its_wall_time() -> None:
    tally = EngineTally()
    tally.metrics({"a": EngineTimes(5.0, 3.0, 2.0, 1.0), "b": EngineTimes(4.0, 4.0, 2.0, 0.0)})
    metrics = tally.metrics({"a": EngineTimes(11.0, 4.0, 5.0, 4.0), "b": EngineTimes(4.0, 9.0, 7.0, 0.0)})
    assert [metrics[f"engine/a/{kind}_s"] for kind in ("busy", "idle", "paused")] == [6.0, 1.0, 3.0]
    assert [metrics[f"engine/b/{kind}_s"] for kind in ("busy", "idle", "paused")] == [0.0, 5.0, 5.0]
    assert (metrics["time/busy_rollout_s"], metrics["time/idle_rollout_s"]) == (3.0, 3.0)
    assert (metrics["time/paused_rollout_s"], metrics["time/eval_s"]) == (4.0, 1.5)


def test_an_engine_in_the_place_of_a_lost_one_has_its_own_times() -> None:
    tally = EngineTally()
    tally.metrics({"a": EngineTimes(100.0, 0.0, 0.0, 0.0)})
    metrics = tally.metrics({"a": EngineTimes(1.0, 2.0, 3.0, 0.5)})
    assert [metrics[f"engine/a/{kind}_s"] for kind in ("busy", "idle", "paused")] == [1.0, 2.0, 3.0]


def test_rewards_that_differ_within_groups_are_told_from_those_that_do_not() -> None:
    metrics = group_metrics([*BATCH, make_group("0/3", [Scored(1.0, {}), Scored(1.0, {})])], num_dropped=1)
    assert metrics["group/reward_std"] == (0.5 + 0.0 + 1.0 + 0.0) / 4
    assert metrics["group/uniform_rate"] == 3 / 5, "a single reward does not differ, and one was dropped"


def test_environments_have_metrics_of_their_own() -> None:
    def in_maze(group: ScoredGroup, *worlds: InEnvironment) -> ScoredGroup:
        pairs = zip(group.trajectories, worlds, strict=True)
        return replace(group, trajectories=tuple(replace(one, world=world, num_turns=4) for one, world in pairs))

    maze = [InEnvironment(name="maze", num_calls=3, num_errors=1, seconds=4.0), InEnvironment(name="maze", seconds=2.0)]
    batch = [
        make_group("0/0", [Scored(1.0, {}), Scored(1.0, {})]),
        in_maze(make_group("0/1", [Scored(0.5, {}), ScoringFailed("down")], lengths=[10, 30]), *maze),
    ]
    prompts = [make_prompt(), replace(make_prompt(), environment="maze")]
    metrics = batch_metrics(batch, 0, prompts=prompts)
    assert {name: value for name, value in metrics.items() if name.startswith("environment/")} == {
        "environment/maze/share": 0.5,
        "environment/maze/reward_mean": 0.5,
        "environment/maze/pass_at_1": 0.0,
        "environment/maze/length_mean": 20.0,
        "environment/maze/turns_mean": 4.0,
        "environment/maze/wait_s": 3.0,
    }
    assert metrics["trajectory/tool_calls_mean"] == 3 / 4
    assert metrics["trajectory/tool_errors_rate"] == pytest.approx(1 / 3)
    assert metrics["trajectory/turns_mean"] == (1 + 1 + 4 + 4) / 4
    without = batch_metrics(batch[:1], 0, prompts=prompts[:1])
    assert not [name for name in without if name.startswith("environment/")]
    assert without["trajectory/tool_calls_mean"] == without["trajectory/tool_errors_rate"] == 0.0


def test_an_environment_with_an_agent_says_how_its_calls_go_on() -> None:
    calls = [
        AgentCalls(num_answered=5, num_extending=3, refused={"client_gone": 1, "calls_exhausted": 2}),
        AgentCalls(num_answered=1, num_extending=0),
    ]
    worlds = [InEnvironment(name="maze", agent=each) for each in calls]
    group = make_group("0/0", [Scored(1.0, {}), Scored(0.0, {})])
    pairs = zip(group.trajectories, worlds, (2, 1), strict=True)
    made = replace(group, trajectories=tuple(replace(one, world=world, num_branches=n) for one, world, n in pairs))
    metrics = batch_metrics([made], 0, prompts=[replace(make_prompt(), environment="maze")])
    found = [metrics[f"environment/maze/{name}"] for name in ("extending_share", "branches_mean", "refused_calls_mean")]
    assert found == [3 / 4, 1.5, 1.5]
