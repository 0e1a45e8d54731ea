"""The environment ``repository``, from its issue to its verdict."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from r1ray.config import EnvironmentConfig, SandboxConfig
from r1ray.environments.registry import source_of
from r1ray.environments.repository.world import Repository
from r1ray.environments.world_context import WorldContext
from r1ray.errors import UnscorableError, UserError
from r1ray.turns import Action, Done, Observation, ToolCall
from tests.environments.repository.repositories import ADD, columns_of, prompt_of


def turn(**arguments: Any) -> Action:
    return Action(content="", calls=(ToolCall(arguments.pop("tool"), arguments),))


@pytest.mark.needs("isolation")
def test_a_trajectory_edits_runs_and_is_judged_by_the_tests(context: WorldContext) -> None:
    async def scenario() -> list[Observation | Done]:
        world = Repository(context=context)
        await world.check()
        said: list[Observation | Done] = [await world.reset(prompt_of(columns_of()), 0)]
        said.append(await world.step(turn(tool="edit", path=ADD, old="a - b", new="a + b")))
        said.append(await world.step(turn(tool="run", command="python -m unittest")))
        said.append(await world.step(turn(tool="none")))
        said.append(await world.step(Action(content="Fixed.")))
        await world.close()
        return said

    begun, edited, tested, unknown, done = asyncio.run(scenario())
    assert isinstance(begun, Observation) and len(begun.tools) == 5
    assert begun.messages[0].content == "add() subtracts."
    assert isinstance(edited, Observation) and edited.num_errors == 0
    assert isinstance(tested, Observation) and "Ran 3 tests" in tested.messages[0].content
    assert isinstance(unknown, Observation) and unknown.num_errors == 1
    rewards = {"tests": 1.0, "tests_passed": 1.0, "tool_calls": 2.0, "tool_errors": 1.0}
    assert done == Done(rewards=rewards, label="resolved", detail="all 3 tests pass")


@pytest.mark.needs("isolation")
def test_trajectories_do_not_share_their_files(context: WorldContext) -> None:
    async def scenario() -> Observation | Done:
        one, other = Repository(context=context), Repository(context=context)
        for world in (one, other):
            await world.reset(prompt_of(columns_of()), 0)
        await one.step(turn(tool="edit", path=ADD, old="a - b", new="a + b"))
        return await other.step(Action(content="Fixed."))

    done = asyncio.run(scenario())
    assert isinstance(done, Done) and done.rewards["tests"] == 0.0 and done.label == "unresolved"


def test_rows_that_cannot_be_judged_are_told_before_a_run_and_are_no_zero() -> None:
    world = Repository(context=WorldContext())
    bad = prompt_of(columns_of(fail_to_pass=[]))
    assert world.row_problem(prompt_of(columns_of())) is None
    assert "fail_to_pass" in str(world.row_problem(bad))
    with pytest.raises(UnscorableError, match="row 1: its fail_to_pass"):
        asyncio.run(world.reset(bad, 0))


def test_pytest_is_there_where_the_sandbox_has_it() -> None:
    row = prompt_of(columns_of(command="python -m pytest -q"))
    assert "sandbox.packages" in str(Repository(context=WorldContext()).row_problem(row))
    has = WorldContext(sandbox=SandboxConfig(packages=["pytest"]))
    assert Repository(context=has).row_problem(row) is None


def test_the_environment_ships_and_its_option_is_checked() -> None:
    assert source_of("repository", EnvironmentConfig()).is_shipped
    with pytest.raises(UserError, match="max_result_chars"):
        Repository(max_result_chars=1)
