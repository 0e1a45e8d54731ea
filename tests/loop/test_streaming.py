"""Minibatches that are trained on while later groups of the step are still generated."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from r1ray.config import AlgoConfig, RunConfig
from r1ray.errors import Terminated
from r1ray.loop.batch import StepPart, make_batch, parts_of_step
from r1ray.rollout.engine import Generated, TrajectoryRequest
from r1ray.types import Scored, ScoredGroup, Shard, StepStats, group_of
from tests.fakes import FakeEngine, FakePrompts, make_prompt
from tests.loop.groups import make_group
from tests.loop.test_batch import make_config as make_batch_config
from tests.loop.test_controller import World, ends, make_config


def streaming(*, minibatches: int = 3, **settings: Any) -> RunConfig:
    config = make_config(**settings)
    config.algo = replace(config.algo, minibatches_per_step=minibatches, stream_minibatches=True, old_logprobs="engine")
    return config


def test_the_parts_of_a_step_are_its_minibatches() -> None:
    algo = AlgoConfig(prompts_per_step=6, minibatches_per_step=3, stream_minibatches=True)
    assert parts_of_step(algo) == [
        StepPart(2, 4, 1, is_first=True),
        StepPart(2, 2, 1, is_first=False),
        StepPart(2, 0, 1, is_first=False),
    ]
    assert [part.is_last for part in parts_of_step(algo)] == [False, False, True]
    assert parts_of_step(replace(algo, stream_minibatches=False)) == [StepPart(6, 0, 3, is_first=True)]


@pytest.mark.parametrize("changes", [{}, {"advantage_std": "sample", "mask_truncated": True, "count_masked": True}])
def test_a_minibatch_of_the_same_groups_has_the_numbers_that_it_has_if_the_step_is_waited_for(
    changes: dict[str, Any],
) -> None:
    config = make_batch_config(prompts_per_step=6, minibatches_per_step=3, **changes)
    groups = [
        make_group(f"0/{g}", [Scored((g * i) % 3 / 2, {}) for i in range(3)], lengths=[3 + g, 9, 5], truncated=[g % 4])
        for g in range(6)
    ]
    prompts = [make_prompt(group.group_id) for group in groups]
    (whole,) = parts_of_step(config.algo)
    waited = make_batch(groups, prompts, whole, config, step=5, version=4)
    assert waited.num_updates == 3
    for number, minibatch in enumerate(waited.shards[0].minibatches):
        names = {group_of(sample.id) for micro in minibatch.microbatches for sample in micro}
        chosen = [group for group in groups if group.group_id in names]
        part = StepPart(2, 0, 1, is_first=True)
        streamed = make_batch(chosen, prompts[: len(chosen)], part, config, step=5, version=4)
        assert [shard.minibatches for shard in streamed.shards] == [
            (shard.minibatches[number],) for shard in waited.shards
        ]
        advantages = {record.group_id: record.advantages for record in waited.records}
        assert all(record.advantages == advantages[record.group_id] for record in streamed.records)


def test_each_minibatch_is_trained_on_under_its_version_before_the_step_is_whole(tmp_path: Path) -> None:
    world = World(tmp_path, streaming(steps=2), delay=lambda name: 50 if name in ("0/2", "0/5") else 0)
    world.run()
    happened = [event for event in world.events if event.startswith(("train", "publish"))]
    one_step = "train v{0} in part", "train v{0} in part", "train v{0}", "publish v{1}"
    assert happened == ["publish v0", *(e.format(v, v + 1) for v in (0, 1) for e in one_step)]
    assert world.learner.trained == [["0/0"], ["0/1"], ["0/2"], ["0/3"], ["0/4"], ["0/5"]]
    assert [[record.group_id for record in world.recorder.records[step]] for step in (1, 2)] == [
        ["0/0", "0/1", "0/2"],
        ["0/3", "0/4", "0/5"],
    ]
    assert all(end == "trained" for step in (1, 2) for end in ends(world.recorder.records[step]))
    rows = [row for row in world.log if "ledger/trained" in row]
    assert [(row["step"], row["ledger/trained"]) for row in rows] == [(1, 3), (2, 6)]
    assert world.learner.refreshes == 2, "six updates, a refresh every two, between steps"


@pytest.mark.parametrize("staleness", [0, 1, 2])
def test_the_staleness_bound_and_the_books_hold(tmp_path: Path, staleness: int) -> None:
    slow = {"0/1": 60, "0/4": 45, "0/6": 90}
    world = World(tmp_path, streaming(steps=6, staleness=staleness), delay=lambda name: slow.get(name, 0))
    world.run()
    assert max(world.learner.staleness) <= staleness
    trained = list(itertools.chain(*world.learner.trained))
    assert len(trained) == len(set(trained)) == 18 == world.last.ledger.trained
    assert not world.last.ledger.in_flight and not world.last.ledger.dropped


def test_a_stop_in_the_middle_of_a_step_ends_the_run_after_it(tmp_path: Path) -> None:
    world = World(tmp_path, streaming(steps=4, checkpoint_every=4), delay=lambda name: 20)
    learn = world.learner.train

    async def train(shards: Sequence[Shard], groups: Sequence[ScoredGroup], *, has_more: bool = False) -> StepStats:
        if shards[0].learner_version == 1 and has_more:
            world.last.stop()
        return await learn(shards, groups, has_more=has_more)

    world.learner.train = train  # type: ignore[method-assign]
    with pytest.raises(Terminated, match="stopped after step 2"):
        world.run()
    latest = world.checkpoints.latest()
    assert latest is not None and latest[1].version == 2 and latest[1].ledger["trained"] == 6
    again = World(tmp_path, world.config)
    again.prompts = FakePrompts(latest[1].position)
    again.run(state=latest[1])
    trained = list(itertools.chain(*world.learner.trained, *again.learner.trained))
    assert len(trained) == len(set(trained)) == 12


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"old_logprobs": "learner"}, "algo.old_logprobs=learner: the learner cannot compute log pi_old"),
        ({"max_staleness": 1, "clip_high": 0.2}, "algo.old_logprobs=auto"),
        ({"advantage_baseline": "batch"}, "algo.advantage_baseline=batch, which is given the rewards of the whole"),
        ({"advantage_baseline": "mine:own"}, "algo.advantage_baseline=mine:own, which is given"),
        ({"advantage_std": "batch"}, "algo.advantage_std=batch"),
        ({"advantage_std": "token_sample"}, "algo.advantage_std=token_sample"),
    ],
)
def test_what_needs_the_whole_step_does_not_stream(changes: dict[str, Any], message: str) -> None:
    AlgoConfig(**changes)
    with pytest.raises(ValueError, match=rf"algo.stream_minibatches=true with {message}"):
        AlgoConfig(**changes, stream_minibatches=True)


GENERATE_S, LEARN_S, MINIBATCHES = 0.5, 0.02, 16


class TailEngine(FakeEngine):
    """Group i of a step is there after (i + 1) / 16 of its time."""

    async def generate(self, request: TrajectoryRequest) -> Generated:
        epoch, index = map(int, request.group_id.split("/"))
        place = (epoch * FakePrompts.PER_EPOCH + index) % MINIBATCHES
        await asyncio.sleep(GENERATE_S * (place + 1) / MINIBATCHES)
        return Generated(self._trajectory(request, self.version), 0)


def step_seconds(tmp_path: Path, *, streams: bool) -> float:
    config = make_config(steps=1, prompts=MINIBATCHES)
    config.algo = replace(config.algo, minibatches_per_step=MINIBATCHES, stream_minibatches=streams)
    world = World(tmp_path, config)
    world.engine = world.weights.engine = TailEngine(world.events)
    world.groups._engine = world.engine
    learn = world.learner.train

    async def train(shards: Sequence[Shard], groups: Sequence[ScoredGroup], *, has_more: bool = False) -> StepStats:
        await asyncio.sleep(LEARN_S * len(shards[0].minibatches))
        return await learn(shards, groups, has_more=has_more)

    world.learner.train = train  # type: ignore[method-assign]
    world.run()
    return world.log[-1]["time/step_s"]


def test_streaming_hides_most_of_the_learning_behind_the_tail_of_generation(tmp_path: Path) -> None:
    learning = LEARN_S * MINIBATCHES
    assert step_seconds(tmp_path / "waits", streams=False) >= GENERATE_S + learning - 0.01
    assert step_seconds(tmp_path / "streams", streams=True) <= GENERATE_S + learning / 4
