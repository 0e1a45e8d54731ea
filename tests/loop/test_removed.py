"""What removes outputs removes long ones: an engine whose longer trajectories take longer, and are worth more."""

from __future__ import annotations

import asyncio
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from r1ray.loop.upkeep.disk import Disk
from r1ray.loop.upkeep.removed import Removals
from r1ray.rollout.engine import Generated, TrajectoryRequest
from r1ray.types import Scored, Trajectory
from tests.fakes import FakeEngine, FakeGroups, make_trajectory
from tests.loop.groups import make_group
from tests.loop.test_controller import World, ends, make_config

STEPS, PROMPTS, GROUP_SIZE = 24, 4, 4


@pytest.fixture(autouse=True)
def disk_answers_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lengths are counted in turns of the event loop here, and a disk has a clock of its own."""

    async def no_fault(self: Disk, *, needs: int = 0) -> None:
        return None

    monkeypatch.setattr(Disk, "fault", no_fault)


def length_of(trajectory_id: str) -> int:
    """From 1 to 40 tokens; unlike within a group."""
    return 1 + zlib.crc32(trajectory_id.encode()) % 40


class LengthEngine(FakeEngine):
    """A token takes two turns of the event loop."""

    async def generate(self, request: TrajectoryRequest) -> Generated:
        started, length = self.version, length_of(request.id)
        for turn in range(2 * length):
            await asyncio.sleep(0)
            if request.id in self._aborted:
                return Generated(replace(of(request, started, turn // 2), status="aborted"), 0)
        return Generated(of(request, started, length), 0)


def of(request: TrajectoryRequest, version: int, num_tokens: int) -> Trajectory:
    return make_trajectory(group_id=request.group_id, index=request.index, num_tokens=num_tokens, version=version)


def run(tmp_path: Path, *, staleness: int = 0, **algo: Any) -> World:
    config = make_config(steps=STEPS, prompts=PROMPTS, staleness=staleness)
    config.algo = replace(config.algo, group_size=GROUP_SIZE, **algo)
    world = World(tmp_path, config)
    world.engine = LengthEngine(world.events)
    world.weights.engine = world.engine
    world.groups = FakeGroups(world.engine, world.scorer)
    world.scorer.reward = lambda each: Scored(each.num_policy_tokens / 40, {"accuracy": each.num_policy_tokens / 40})
    world.run()
    return world


def mean(values: list[int]) -> float:
    return sum(values) / len(values)


def trained_lengths(world: World) -> list[int]:
    """The lengths of all trajectories that were trained on."""
    records = [each for step in world.recorder.records.values() for each in step if each.status == "trained"]
    return [each.num_policy_tokens for record in records if record.group for each in record.group.trajectories]


def issued_lengths(world: World) -> list[int]:
    """The lengths that all trajectories have, or would have had."""
    groups = [record.group_id for step in world.recorder.records.values() for record in step]
    return [length_of(f"{group_id}#{index}") for group_id in groups for index in range(GROUP_SIZE)]


def total(world: World, name: str) -> float:
    return sum(row.get(name, 0.0) for row in world.log)


@pytest.mark.parametrize("staleness", [0, 1, 2])
def test_by_default_what_is_trained_on_is_as_long_as_what_was_issued(
    tmp_path: Path, staleness: int, said: list[str]
) -> None:
    world = run(tmp_path, staleness=staleness)
    trained = trained_lengths(world)
    assert len(trained) == STEPS * PROMPTS * GROUP_SIZE == world.last.ledger.issued * GROUP_SIZE
    assert mean(trained) == mean(issued_lengths(world))
    halves = trained[: len(trained) // 2], trained[len(trained) // 2 :]
    early = [length_of(f"{i // 8}/{i % 8}#{j}") for i in range(STEPS * PROMPTS // 2) for j in range(GROUP_SIZE)]
    assert mean(halves[0]) == pytest.approx(mean(early), rel=0.03), "nor are long ones put off"
    assert not [name for row in world.log for name in row if name.startswith("removed/")]
    assert not [line for line in said if "removed" in line]


@pytest.mark.parametrize("staleness", [0, 1])
def test_with_oversample_the_slowest_groups_are_left_behind_and_the_metrics_and_a_warning_say_so(
    tmp_path: Path, staleness: int, said: list[str]
) -> None:
    world = run(tmp_path, staleness=staleness, oversample=1.5)
    ledger = world.last.ledger
    assert set(ledger.dropped) == {"surplus"} and not ledger.in_flight
    assert ledger.issued == ledger.trained + ledger.dropped["surplus"] and ledger.trained == STEPS * PROMPTS
    recorded = [end for step in world.recorder.records.values() for end in ends(step)]
    assert recorded.count("dropped surplus") == ledger.dropped["surplus"], "no group ends in silence"
    assert world.engine._aborted, "what is not waited for does not go on"
    assert mean(trained_lengths(world)) < 0.97 * mean(issued_lengths(world))
    assert total(world, "removed/surplus_rate") / STEPS > 0.1 and total(world, "removed/surplus_length_mean") > 0
    assert sum("trajectories were removed (surplus)" in line for line in said) == 1


def test_with_min_group_size_groups_are_closed_and_the_metrics_and_a_warning_say_so(
    tmp_path: Path, said: list[str]
) -> None:
    world = run(tmp_path, min_group_size=3)
    assert len(trained_lengths(world)) < STEPS * PROMPTS * GROUP_SIZE
    assert mean(trained_lengths(world)) < 0.9 * mean(issued_lengths(world))
    rates = [row["removed/enough_rate"] for row in world.log if "reward/mean" in row]
    assert max(rates) == 0.25, "one of four"
    assert sum("trajectories were removed (enough)" in line for line in said) == 1
    kept = {row["completion/length_mean"] for row in world.log if "reward/mean" in row}
    assert mean([round(each) for each in kept]) < mean(issued_lengths(world))


def test_what_is_left_when_a_run_ends_is_counted_and_no_warning(said: list[str]) -> None:
    removals = Removals()
    removals.note_group(make_group("0/0", [Scored(1.0, {}), Scored(0.0, {})]), "stopped")
    assert removals.metrics([], mask_truncated=False)["removed/stopped_rate"] == 1.0
    assert not said


def test_a_step_whose_groups_are_all_uniform_says_so_in_its_metrics(tmp_path: Path) -> None:
    world = World(tmp_path, make_config(steps=2))
    world.scorer.reward = lambda each: Scored(0.0, {"accuracy": 0.0})
    world.run()
    rows = [row for row in world.log if "reward/mean" in row]
    assert [(row["group/uniform_rate"], row["group/reward_std"]) for row in rows] == [(1.0, 0.0)] * 2
