"""Group workers that are lost, and groups that hang: the run goes on, and nothing is lost or doubled in silence."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1ray.errors import GroupLost
from r1ray.rollout import turn_sampler
from r1ray.types import GroupRequest, ScoredGroup
from tests.fakes import FakeGroups
from tests.loop.test_controller import World, ends, make_config

pytestmark = pytest.mark.faults


def lose_while_it_runs(world: World) -> None:
    run, lost = world.groups.run, list[str]()

    async def once(request: GroupRequest) -> ScoredGroup:
        if request.group_id == "0/1" and not lost:
            lost.append(request.group_id)
            raise GroupLost((request.group_id,))
        return await run(request)

    world.groups.run = once  # type: ignore[method-assign]


def lose_when_it_is_ready(world: World) -> None:
    lost: list[str] = []

    def is_held(group: ScoredGroup) -> bool:
        if group.group_id == "0/1" and not lost:
            lost.append(group.group_id)
            return False
        return True

    world.groups.is_held = is_held  # type: ignore[method-assign]


def lose_when_it_is_trained_on(world: World) -> None:
    world.learner.lost = {"0/1"}


@pytest.mark.parametrize("lose", [lose_while_it_runs, lose_when_it_is_ready, lose_when_it_is_trained_on])
@pytest.mark.parametrize(("staleness", "streams"), [(0, False), (1, False), (0, True)])
def test_a_group_whose_worker_is_gone_is_issued_again_counted_and_trained_once(
    tmp_path: Path, lose: object, staleness: int, streams: bool
) -> None:
    config = make_config(steps=3, staleness=staleness)
    if streams:
        config.algo.minibatches_per_step, config.algo.stream_minibatches = 3, True
    world = World(tmp_path, config)
    lose(world)  # type: ignore[operator]
    world.run()
    trained = list(itertools.chain(*world.learner.trained))
    assert len(trained) == len(set(trained)) == 9 and "0/1" in trained
    ledger = world.last.ledger
    assert (ledger.issued, ledger.trained, ledger.dropped.total(), ledger.reissued) == (9, 9, 0, 1)
    assert [row["ledger/reissued"] for row in world.log if "ledger/reissued" in row][-1] == 1.0
    assert sum(event.startswith("generate 0/1 ") for event in world.events) == 1 + (lose is not lose_while_it_runs)
    assert max(world.learner.staleness) <= staleness


@pytest.mark.parametrize("hears_aborts", [True, False])
def test_a_group_that_hangs_is_dropped_with_its_reason_and_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hears_aborts: bool
) -> None:
    monkeypatch.setattr(turn_sampler, "ABORT_S", 0.01)
    world = World(tmp_path, make_config(steps=2), delay=lambda group_id: 10**9 if group_id == "0/1" else 0)
    world.groups = FakeGroups(world.engine, world.scorer, deadline_s=0.03)

    async def deaf(ids: Sequence[str]) -> None:
        return

    if not hears_aborts:
        world.engine.abort = deaf  # type: ignore[method-assign]
    world.run()
    ledger = world.last.ledger
    assert ledger.dropped == {"late": 1} and (ledger.issued, ledger.trained) == (7, 6)
    assert "dropped late" in [end for step in (1, 2) for end in ends(world.recorder.records[step])]
    assert max(row.get("removed/late_rate", 0) for row in world.log) == 2 / 8, "both of its trajectories"


@settings(max_examples=60, deadline=None)
@given(
    staleness=st.integers(0, 2),
    streams=st.booleans(),
    oversample=st.sampled_from([1.0, 1.3, 2.0]),
    delays=st.lists(st.integers(0, 40), min_size=1, max_size=9),
    lost=st.sets(st.integers(0, 20), max_size=4),
)
def test_whatever_is_slow_lost_or_left_behind_the_books_and_the_staleness_bound_hold(
    tmp_path_factory: pytest.TempPathFactory,
    staleness: int,
    streams: bool,
    oversample: float,
    delays: list[int],
    lost: set[int],
) -> None:
    config = make_config(steps=4, staleness=staleness)
    config.algo = replace(
        config.algo,
        old_logprobs="engine",
        minibatches_per_step=3,
        stream_minibatches=streams,
        oversample=oversample,
    )
    world = World(
        tmp_path_factory.mktemp("w"), config, delay=lambda group_id: delays[sum(map(ord, group_id)) % len(delays)]
    )
    world.learner.lost = {f"{number // 8}/{number % 8}" for number in lost}
    run, left = world.groups.run, {f"{number // 8}/{number % 8}" for number in lost if number % 2}

    async def once(request: GroupRequest) -> ScoredGroup:
        group = await run(request)
        if request.group_id in left:
            left.discard(request.group_id)
            raise GroupLost((request.group_id,))
        return group

    world.groups.run = once  # type: ignore[method-assign]
    world.run()
    trained, ledger = list(itertools.chain(*world.learner.trained)), world.last.ledger
    assert len(trained) == len(set(trained)) == 12 == ledger.trained
    assert max(world.learner.staleness) <= staleness
    assert not ledger.in_flight and set(ledger.dropped) <= {"surplus"}
    recorded = [end for step in world.recorder.records.values() for end in ends(step)]
    assert recorded.count("trained") == 12 and len(recorded) == ledger.issued, "no group ends in silence"
    assert ledger.dropped.total() == 0 or oversample > 1
