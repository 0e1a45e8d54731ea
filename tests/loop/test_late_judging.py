"""Groups whose environments take long to judge them: generation and learning go on, and what comes late is taken while
it is young enough."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from r1ray.config import DeadlineConfig, EnvironmentConfig, RewardConfig, RunConfig
from r1ray.data.position import Position
from r1ray.errors import DeadlineExceeded
from r1ray.rollout.engine import TrajectoryRequest
from r1ray.rollout.episode import Episode, Episodes
from r1ray.rollout.group_worker import GroupWorker
from r1ray.types import Prompt, Trajectory, group_of
from tests.fakes import FakePrompts
from tests.loop.test_controller import World, ends, make_config

LATE = "0/1"


class Judged:
    """An episode of one turn, which is being judged."""

    def __init__(self, trajectory: Trajectory) -> None:
        self._trajectory = trajectory

    def so_far(self, partial: Trajectory | None = None) -> Trajectory:
        return replace(self._trajectory, status="aborted")


class SlowWorlds:
    """Episodes that end once ``num_steps`` of their group are trained; None: never."""

    def __init__(self, num_steps: Callable[[str], int | None], trained: list[list[str]]) -> None:
        self._num_steps, self._trained = num_steps, trained
        self.judging: set[str] = set()
        self.num_given_up = 0

    async def play(
        self,
        request: TrajectoryRequest,
        sample: Callable[[TrajectoryRequest], Awaitable[Trajectory]],
        *,
        begun: Callable[[Episode], None],
        end: Callable[[str], bool],
    ) -> Trajectory:
        trajectory = await sample(request)
        begun(cast(Episode, Judged(trajectory)))
        needed = self._num_steps(group_of(request.id))
        self.judging.add(request.id)
        try:
            while needed is None or len(self._trained) < needed:
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.num_given_up += 1
            raise
        finally:
            self.judging.discard(request.id)
        return trajectory


class InWorlds(FakePrompts):
    def at(self, position: Position) -> Prompt:
        return replace(super().at(position), environment="repository")


def in_worlds(tmp_path: Path, config: RunConfig, num_steps: Callable[[str], int | None]) -> tuple[World, SlowWorlds]:
    world = World(tmp_path, config)
    world.prompts = InWorlds()
    worlds = SlowWorlds(num_steps, world.learner.trained)
    world.groups.worker = GroupWorker(world.scorer, deadline_s=600.0, episodes=cast(Episodes, worlds))
    return world, worlds


def configured(*, staleness: int, oversample: float = 1.0, **more: Any) -> RunConfig:
    config = make_config(staleness=staleness, steps=4, prompts=2)
    return replace(config, algo=replace(config.algo, oversample=oversample), **more)


def steps_of(world: World) -> dict[str, int]:
    """Return the step in which each group was trained on."""
    return {name: step for step, names in enumerate(world.learner.trained, start=1) for name in names}


def test_steps_go_on_while_a_group_is_judged_and_it_is_taken_when_it_comes(tmp_path: Path) -> None:
    world, worlds = in_worlds(tmp_path, configured(staleness=2), lambda group: 2 if group == LATE else 0)
    world.run()
    assert steps_of(world)[LATE] == 3
    assert max(world.learner.staleness) == 2 and not world.last.ledger.dropped
    # Others were generated under versions that were made while it was judged.
    generated = world.events.index("generate 0/6 v1")
    assert generated < world.events.index("train v2") and worlds.num_given_up == 0


def test_a_group_that_is_judged_holds_no_place_on_an_engine(tmp_path: Path) -> None:
    world, worlds = in_worlds(tmp_path, configured(staleness=2), lambda group: 2 if group == LATE else 0)
    seen: set[tuple[int, int]] = set()

    async def watched() -> None:
        """Run, and note how many trajectories are generated while those of the group are judged."""
        running = asyncio.create_task(world.controller().run())
        while not running.done():
            status = await world.groups.worker.status()
            seen.add((status.generating, sum(group_of(name) == LATE for name in worlds.judging)))
            await asyncio.sleep(0)
        await running

    asyncio.run(watched())
    assert (0, 2) in seen and any(generating and judging == 2 for generating, judging in seen)


def test_what_is_judged_too_late_is_left_behind_by_rule_and_counted(tmp_path: Path) -> None:
    config = configured(staleness=1, oversample=1.5)
    world, worlds = in_worlds(tmp_path, config, lambda group: None if group == LATE else 0)
    world.run()
    assert LATE not in steps_of(world) and len(world.learner.trained) == 4
    assert world.last.ledger.dropped["surplus"] >= 1 and worlds.num_given_up == 2
    records = [each for records in world.recorder.records.values() for each in records if each.group_id == LATE]
    assert ends(records) == ["dropped surplus"]
    assert max(world.learner.staleness) <= 1


def test_without_that_rule_a_step_waits_for_a_group_that_would_be_too_old_for_the_next(tmp_path: Path) -> None:
    world, _ = in_worlds(tmp_path, configured(staleness=1), lambda group: 1 if group == LATE else 0)
    world.run()
    assert steps_of(world)[LATE] == 2 and not world.last.ledger.dropped


@pytest.mark.parametrize("staleness", [0, 1])
def test_a_judge_that_never_comes_back_ends_the_run_at_a_deadline(tmp_path: Path, staleness: int) -> None:
    config = configured(
        staleness=staleness,
        reward=RewardConfig(parts={"accuracy": {"deadline_s": 0.005}}),
        deadlines=DeadlineConfig(generate_s=0.01, score_s=0.01),
        environment=EnvironmentConfig(reset_timeout_s=0.01, step_timeout_s=0.01, max_turns=1),
    )
    world, _ = in_worlds(tmp_path, config, lambda group: None if group == LATE else 0)
    with pytest.raises(DeadlineExceeded, match="generate_s"):
        world.run()
