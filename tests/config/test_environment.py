from __future__ import annotations

import re
from typing import Any

import pytest

from r1ray.config import AlgoConfig, DataConfig, EnvironmentConfig, EvalConfig, RunConfig, WorldConfig
from r1ray.config.environment import AgentsConfig
from tests.config.keys import PARTS


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"worlds": {"maze": "my:Maze"}}, "environment.worlds.maze=my:Maze: needs an object"),
        (
            {"worlds": {"maze": {"paht": "my:Maze"}}},
            "environment.worlds.maze.paht: no such key; needs one of path, opt",
        ),
        ({"worlds": {"maze": {"path": 3}}}, "environment.worlds.maze.path=3: needs package.module:Class"),
        ({"worlds": {"maze": {"options": [1]}}}, "environment.worlds.maze.options=[1]: needs an object"),
        ({"worlds": {"a/b": {}}}, "environment.worlds.a/b: is no name of an environment"),
        ({"worlds": {"none": {}}}, "environment.worlds.none: none is no environment"),
        ({"shares": [1]}, "environment.shares=[1]: needs an object"),
        ({"shares": {}}, "environment.shares={}: needs an object"),
        ({"shares": {"maze": 0}}, "environment.shares.maze=0: needs a number above 0"),
        ({"shares": {"maze": True}}, "environment.shares.maze=True: needs a number above 0"),
        ({"on_full": "stop"}, "environment.on_full=stop: needs one of end, drop_oldest_results, summarise"),
        ({"on_malformed": "zero"}, "environment.on_malformed=zero: needs one of answer, end"),
    ],
)
def test_what_no_environment_can_be_is_refused_by_its_key(section: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        EnvironmentConfig(**section)


def test_a_world_has_its_defaults() -> None:
    found = EnvironmentConfig(worlds={"maze": {"path": "my:Maze", "options": None}, "calculator": {}}).worlds
    assert found == {"maze": WorldConfig(path="my:Maze"), "calculator": WorldConfig()}


def test_an_environment_of_the_rows_is_a_name() -> None:
    with pytest.raises(ValueError, match=r"^data.environment=my:Maze: needs a name"):
        DataConfig(environment="my:Maze")


def test_engines_hold_the_longest_trajectory() -> None:
    data, algo = DataConfig(train="t", max_prompt_tokens=10), AlgoConfig(max_completion_tokens=20)
    lengths = []
    for most in (None, 5, 90):
        environment = EnvironmentConfig(max_trajectory_tokens=most)
        assert environment.trajectory_tokens(20) == (most or 20)
        run = RunConfig(model="m", data=data, algo=algo, environment=environment, reward=PARTS)
        lengths.append(run.max_model_len)
    assert lengths == [30, 30, 100]


@pytest.mark.parametrize("worlds", [{}, {"mini": {"path": "agent"}}])
def test_an_agent_of_all_prompts_needs_a_command(worlds: dict[str, Any]) -> None:
    name = next(iter(worlds), "agent")
    data = DataConfig(train="t", environment=name)
    with pytest.raises(ValueError, match=rf"^environment\.command=\[\]: environment={name} runs an agent, and needs"):
        RunConfig(model="m", data=data, environment=EnvironmentConfig(worlds=worlds), reward=PARTS)
    environment = EnvironmentConfig(command=["true"], worlds=worlds)
    assert RunConfig(model="m", data=data, environment=environment, reward=PARTS).environment.command_of(name) == [
        "true"
    ]
    assert environment.command_of(None) is None and environment.command_of("calculator") is None


def test_an_agent_may_also_wait_for_those_that_have_its_place() -> None:
    limits: dict[str, Any] = {"reset_timeout_s": 5.0, "step_timeout_s": 10.0, "max_turns": 2, "num_actors": 3}
    assert EnvironmentConfig(**limits).longest_s(64) == 25.0
    few = EnvironmentConfig(**limits, agents=AgentsConfig(at_once=4))
    assert [few.longest_s(number) for number in (1, 12, 13, 64)] == [25.0, 25.0, 50.0, 150.0]


def test_all_trajectories_under_way_are_those_of_training_and_of_an_evaluation() -> None:
    algo = AlgoConfig(
        prompts_per_step=4,
        group_size=8,
        minibatches_per_step=1,
        max_staleness=1,
        oversample=1.5,
        allow_unbounded_staleness=True,
    )
    run = RunConfig(model="m", data=DataConfig(train="t"), algo=algo, eval=EvalConfig(slots=7), reward=PARTS)
    assert run.most_trajectories == (4 + 4 + 2) * 8 + 7
