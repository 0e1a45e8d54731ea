"""A learner that is lost: it is restarted from the last checkpoint, and the run goes on as if nothing had been."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1ray.config import DeadlineConfig, RunConfig
from r1ray.errors import LearnerLost, OwnFunctionFailed, Terminated
from r1ray.types import Outcome, PublishStats, Scored, Trajectory, group_of
from tests.loop.test_controller import World, make_config
from tests.loop.upkeep.test_reward_errors import bad

pytestmark = pytest.mark.faults
LOST = LearnerLost("learner rank 1 died: planted", (1,))
TIMES = ("time/", "throughput/", "engine/", "learner/restarts", "faults/", "scoring/seconds")
BOOKS = ("policy_version", "ledger/issued", "ledger/in_flight", "ledger/reissued")
"""What differs after a restart although the same is learned: groups are issued once, and versions rise."""


class LosingWorld(World):
    """A controller whose learner is lost now and then."""

    def __init__(self, tmp_path: Path, config: RunConfig, **engine: object) -> None:
        super().__init__(tmp_path, config, **engine)
        self.calls: Counter[str] = Counter()
        self.lost: dict[str, set[int]] = {}
        """Numbers of the calls in which the learner is lost, by name."""
        self.in_time = True
        learning = ("train", "save", "written", "load", "refresh_reference")
        for role, name in (*((self.learner, name) for name in learning), (self.weights, "publish")):
            setattr(role, name, self._losing(name, getattr(role, name)))
        self.published: list[int] = []

    def lose(self, name: str, *numbers: int) -> None:
        self.lost[name] = set(numbers)

    def _losing(self, name: str, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def called(*arguments: Any, **keywords: Any) -> Any:
            self.calls[name] += 1
            number = self.calls[name]
            if name == "publish":
                self.published.append(arguments[0])
            if number in self.lost.get(name, ()):
                self.events.append(f"lost in {name}")
                await asyncio.sleep(0)
                raise LOST
            return await call(*arguments, **keywords)

        return called

    def forget(self, step: int) -> None:
        self.log[:] = [row for row in self.log if row["step"] <= step]
        for later in [each for each in self.recorder.records if each > step]:
            del self.recorder.records[later]

    def run(self, **more: object) -> None:
        asyncio.run(asyncio.wait_for(self.controller(forget=self.forget, **more).run(), 20))

    def check(self, *, steps: int, prompts: int = 3, staleness: int = 0) -> None:
        """Every step is there once, its weights are made of each group once, the books balance."""
        assert [row["step"] for row in self.log] == list(range(steps + 1))
        assert len(self.learner.weights) == len(set(self.learner.weights)) == steps * prompts
        recorded = [each.group_id for step in range(1, steps + 1) for each in self.recorder.records[step]]
        assert Counter(self.learner.weights) <= Counter(recorded)
        versions = [row["policy_version"] for row in self.log]
        assert versions == sorted(set(versions))
        assert self.published == sorted(set(self.published)), "no number is published twice"
        assert max(self.learner.staleness) <= staleness
        ledger = self.last.ledger
        assert ledger.trained == steps * prompts and not ledger.in_flight
        for row in self.log[1:]:
            ends = row["ledger/trained"] + row["ledger/dropped"] + row["ledger/in_flight"]
            assert row["ledger/issued"] == ends
            assert row["ledger/trained"] == row["step"] * prompts
        held = {group_of(name) for name in self.groups.worker._held}  # the recorder of these tests lets nothing go
        assert held <= set(self.learner.weights), "what is not trained on is let go"


def config_of(*, staleness: int = 0, steps: int = 6, every: int = 2, streams: bool = False) -> RunConfig:
    config = make_config(staleness=staleness, steps=steps, checkpoint_every=every)
    if streams:
        config.algo = replace(config.algo, old_logprobs="engine", minibatches_per_step=3, stream_minibatches=True)
    return config


PLACES = {
    "train": 4,
    "save": 2,
    "written": 2,
    "publish": 5,
    "refresh_reference": 2,
    "first publish": 1,
    "first train": 1,
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("staleness", "streams"), [(0, False), (1, False), (2, False), (0, True), (1, True)])
def test_wherever_the_learner_is_lost_the_run_goes_on_to_its_end(
    tmp_path: Path, place: str, staleness: int, streams: bool
) -> None:
    world = LosingWorld(tmp_path, config_of(staleness=staleness, streams=streams))
    world.lose(place.removeprefix("first "), PLACES[place])
    world.run()
    world.check(steps=6, staleness=staleness)
    assert world.learner.restarts == 1
    assert (world.log[-1]["learner/restarts"], world.log[-1]["faults/learner_rank"]) == (1.0, 1.0)


def test_the_order_is_restart_load_a_new_version_and_the_steps_after_the_checkpoint(tmp_path: Path) -> None:
    config = config_of(steps=4)
    config.checkpoint.asynchronous = False
    world = LosingWorld(tmp_path, config)
    world.lose("train", 4)
    world.run()
    wanted = ("train", "publish", "lost", "restart", "load", "save")
    assert [event for event in world.events if event.startswith(wanted)] == [
        *("publish v0", "train v0", "publish v1", "train v1", "publish v2", "save", "train v2", "publish v3"),
        *("lost in train", "restart", "load 2"),
        # Step 3 is undone: version 3 is older by that step than its number says.
        *("publish v5", "train v5", "publish v6", "train v6", "publish v7", "save"),
    ]
    again = [event for event in world.events if event.startswith("generate 0/6")]
    assert again == ["generate 0/6 v2", "generate 0/6 v5"], "what was trained on after the checkpoint is issued again"
    observed = [f"0/{index}" for index in range(6)]
    assert world.prompts.loaded == [{"oldest": [0, 6], "observed": observed}], "the curriculum goes back with it"


@pytest.mark.parametrize("place", ["train", "publish", "save"])
@pytest.mark.parametrize("every", [0, 1, 2])
def test_on_policy_the_run_goes_on_as_one_without_the_fault(tmp_path: Path, place: str, every: int) -> None:
    def lines(world: LosingWorld) -> list[dict[str, float]]:
        return [
            {name: value for name, value in row.items() if not name.startswith((*TIMES, *BOOKS))} for row in world.log
        ]

    whole, world = (LosingWorld(tmp_path / name, config_of(every=every)) for name in "ab")
    world.lose(place, 3 if place != "save" else 1)
    whole.run()
    world.run()
    assert lines(world) == lines(whole)
    assert world.learner.weights == whole.learner.weights
    assert world.learner.restarts == (1 if every or place != "save" else 0)
    for step in range(1, 7):
        records = [(each.group_id, each.advantages) for each in world.recorder.records[step]]
        assert records == [(each.group_id, each.advantages) for each in whole.recorder.records[step]]


def test_what_was_sampled_meanwhile_is_trained_on_where_it_is_not_too_old(tmp_path: Path) -> None:
    world = LosingWorld(tmp_path, config_of(staleness=1, every=1))
    world.lose("train", 4)
    world.run()
    world.check(steps=6, staleness=1)
    assert world.last.ledger.reissued < 6, "not everything under way is thrown away"
    world = LosingWorld(tmp_path / "far", config_of(staleness=1, every=3))
    world.lose("train", 3)
    world.run()
    assert world.last.ledger.reissued == 12, "of two undone steps, and all that their versions sampled"


def test_a_loss_is_found_while_the_learner_has_nothing_to_do(tmp_path: Path) -> None:
    world = LosingWorld(tmp_path, config_of(), delay=lambda group_id: 60 if group_id == "0/4" else 0)
    generate, told = world.engine.generate, list[str]()

    async def losing(request: Any) -> Any:
        if request.group_id == "0/4" and not told:
            told.append("lost")
            world.learner.tell_loss(LOST)
            while "restart" not in world.events:  # it does not wait for the group
                await asyncio.sleep(0.01)
        return await generate(request)

    world.engine.generate = losing  # type: ignore[method-assign]
    world.run()
    world.check(steps=6)
    assert told and world.learner.restarts == 1


def test_a_rank_that_hangs_is_found_by_the_deadline_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = config_of()
    config.deadlines = DeadlineConfig(learn_s=0.05)
    world = LosingWorld(tmp_path, config)
    train = world.learner.train

    async def hanging(*arguments: Any, **keywords: Any) -> Any:
        if len(world.learner.trained) == 3 and not world.learner.restarts:
            world.learner.silent = (0,)
            await asyncio.sleep(60)
        return await train(*arguments, **keywords)

    world.learner.train = hanging  # type: ignore[method-assign]
    world.run()
    world.check(steps=6)
    assert "learner ranks (0,) do not answer" in caplog.text and "deadlines.learn_s" in caplog.text
    assert "from the checkpoint of step 2" in caplog.text


def test_a_publish_that_fails_because_of_a_rank_is_the_learner_s_loss(tmp_path: Path) -> None:
    world = LosingWorld(tmp_path, config_of())
    publish = world.weights.publish

    async def failing(version: int, **keywords: bool) -> PublishStats:
        if version == 4:
            world.learner.silent = (1,)
            await asyncio.sleep(0)
            raise TimeoutErrorOfPublish(f"version {version} did not reach the engines")
        return await publish(version, **keywords)

    from r1ray.errors import DeadlineExceeded as TimeoutErrorOfPublish

    world.weights.publish = failing  # type: ignore[method-assign]
    world.run()
    world.check(steps=6)
    assert 4 not in world.published[4:]


def test_a_crash_that_comes_back_after_the_same_step_ends_the_run_and_says_so(tmp_path: Path) -> None:
    world = LosingWorld(tmp_path, config_of())
    world.lose("train", 4, 6)  # step 4, and after step 3 is made again
    with pytest.raises(LearnerLost, match=r"learner rank 1 died: planted.* second crash in a row after step 3.*step 2"):
        world.run()
    assert world.learner.restarts == 1


def test_crashes_after_other_steps_do_not_end_the_run(tmp_path: Path) -> None:
    world = LosingWorld(tmp_path, config_of(every=1))
    world.lose("train", 2, 4, 6, 8, 10)
    world.run()
    world.check(steps=6)
    assert world.learner.restarts == 5, "there is a new checkpoint before each"


@pytest.mark.parametrize("allowed", [0, 2])
def test_more_restarts_from_one_checkpoint_than_allowed_end_the_run(tmp_path: Path, allowed: int) -> None:
    config = config_of(every=0)
    config.learner.max_restarts = allowed
    world = LosingWorld(tmp_path, config)
    world.lose("train", 5, 9, 12)
    with pytest.raises(LearnerLost, match=f"learner.max_restarts={allowed} allows no more.*goes on from the start"):
        world.run()
    assert world.learner.restarts == allowed


def test_a_group_that_does_not_start_again_is_started_once_more(tmp_path: Path) -> None:
    world = LosingWorld(tmp_path, config_of())
    world.lose("train", 4)
    world.lose("load", 1)
    world.learner.fails_to_start = 1
    world.run()
    world.check(steps=6)
    assert world.events.count("restart") == 3 and world.log[-1]["learner/restarts"] == 3.0
    world = LosingWorld(tmp_path / "never", config_of())
    world.lose("train", 4)
    world.learner.fails_to_start = 10**9
    with pytest.raises(LearnerLost, match=r"a rank died while it started.*learner.max_restarts=3 allows no more"):
        world.run()


def test_a_run_that_is_to_end_restarts_nothing(tmp_path: Path) -> None:
    world = LosingWorld(tmp_path, config_of())
    train = world.learner.train

    async def stopped(*arguments: Any, **keywords: Any) -> Any:
        if len(world.learner.trained) == 3:
            world.last.stop()
            raise LOST
        return await train(*arguments, **keywords)

    world.learner.train = stopped  # type: ignore[method-assign]
    with pytest.raises(Terminated, match="after step 2; the same command goes on"):
        world.run()
    assert not world.learner.restarts


def test_a_reward_function_that_is_ending_the_run_is_its_reason_also_if_a_rank_is_lost_then(tmp_path: Path) -> None:
    config = config_of(staleness=1)
    world = LosingWorld(tmp_path, config)
    train = world.learner.train

    def reward(trajectory: Trajectory) -> Outcome:
        return bad(on_error="stop") if trajectory.oldest_version >= 2 else Scored(trajectory.index % 2, {"mine": 1.0})

    async def lost(*arguments: Any, **keywords: Any) -> Any:
        while len(world.learner.trained) == 2 and not world.last._buffer.is_closed:
            await asyncio.sleep(0)
        if len(world.learner.trained) == 2:
            raise LOST
        return await train(*arguments, **keywords)

    world.scorer.reward, world.learner.train = reward, lost  # type: ignore[method-assign]
    with pytest.raises(OwnFunctionFailed, match="stopped after step 2; the same command goes on") as found:
        world.run()
    assert "what the model wrote" in str(found.value) and not world.learner.restarts


def test_the_end_of_a_run_is_made_again_too(tmp_path: Path) -> None:
    """The export after the last step needs the learner."""
    world = LosingWorld(tmp_path, config_of(every=0))
    finished: list[int] = []

    async def finish() -> None:
        finished.append(world.last.step)
        if len(finished) == 1:
            raise LOST

    world.run(finish=finish)
    world.check(steps=6)
    assert finished == [6, 6] and world.learner.restarts == 1


def test_a_resumed_run_goes_on_where_a_restarted_one_stood(tmp_path: Path) -> None:
    config = config_of(steps=8, staleness=1)
    world = LosingWorld(tmp_path, config)
    world.lose("train", 4, 9)
    world.learner.crash_at = 10
    with pytest.raises(RuntimeError, match="planted"):
        world.run()
    found = world.checkpoints.latest()
    assert found is not None and found[1].version > found[1].step
    folder, state = found
    resumed = LosingWorld(tmp_path, config)
    resumed.prompts.position = state.position
    asyncio.run(resumed.learner.load(folder))
    resumed.log = [row for row in world.log if row["step"] <= state.step]
    resumed.recorder.records = {step: each for step, each in world.recorder.records.items() if step <= state.step}
    resumed.run(state=state, history=list(resumed.log))
    resumed.check(steps=8, staleness=1)


@settings(max_examples=80, deadline=None)
@given(
    staleness=st.integers(0, 2),
    streams=st.booleans(),
    oversample=st.sampled_from([1.0, 1.3, 2.0]),
    every=st.integers(0, 3),
    delays=st.lists(st.integers(0, 40), min_size=1, max_size=9),
    lost=st.dictionaries(st.sampled_from(["train", "save", "written", "publish"]), st.sets(st.integers(1, 12))),
    apart=st.booleans(),
    uniform=st.sets(st.integers(0, 7), max_size=3),
)
def test_whatever_is_slow_left_behind_or_lost_the_books_and_the_bounds_hold(
    tmp_path_factory: pytest.TempPathFactory,
    staleness: int,
    streams: bool,
    oversample: float,
    every: int,
    delays: list[int],
    lost: dict[str, set[int]],
    apart: bool,
    uniform: set[int],
) -> None:
    config = config_of(steps=5, staleness=staleness, every=every, streams=streams)
    config.learner.max_restarts = 10**6
    config.algo = replace(
        config.algo, old_logprobs="engine", oversample=oversample, drop_uniform=bool(uniform), minibatches_per_step=3
    )
    config.eval.num_actors = int(apart)
    world = LosingWorld(
        tmp_path_factory.mktemp("w"), config, delay=lambda group_id: delays[sum(map(ord, group_id)) % len(delays)]
    )
    world.lost = lost
    score = world.scorer.reward
    dull = {f"0/{index}" for index in uniform}
    world.scorer.reward = lambda one: score(replace(one, index=1) if one.group_id in dull else one)
    try:
        world.run()
    except LearnerLost as error:
        assert "second crash in a row" in str(error)
        return
    rows = [row for row in world.log if "ledger/issued" in row]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5]
    for row in rows:
        assert row["ledger/issued"] == row["ledger/trained"] + row["ledger/dropped"] + row["ledger/in_flight"]
    assert len(world.learner.weights) == len(set(world.learner.weights)) == 15
    assert world.published == sorted(set(world.published)) and max(world.learner.staleness) <= staleness
    recorded = [each.group_id for records in world.recorder.records.values() for each in records]
    assert len(recorded) == len(set(recorded)) == world.last.ledger.issued - len(world.last.ledger.in_flight)
    assert set(itertools.chain(world.learner.weights)) <= set(recorded)


def test_lost_engines_are_counted_too(tmp_path: Path) -> None:
    world = LosingWorld(tmp_path, config_of())
    world.engine.fail_next = 2
    world.run()
    assert world.log[-1]["faults/rollout_worker"] == 2.0 and world.log[-1]["learner/restarts"] == 0.0


@pytest.mark.parametrize("staleness", [0, 1])
def test_an_engine_that_waits_for_weights_gets_them_from_the_learner_that_comes_back(
    tmp_path: Path, staleness: int
) -> None:
    """Both are lost in step 4. What the engine is then behind is a version that nobody holds any more."""
    world = LosingWorld(tmp_path, config_of(staleness=staleness))
    train = world.learner.train

    async def losing(*arguments: Any, **keywords: Any) -> Any:
        if world.last.step == 3 and not world.learner.restarts:
            world.engine.on_lost()
            raise LOST
        return await train(*arguments, **keywords)

    world.learner.train = losing  # type: ignore[method-assign]
    world.run()
    twice = [version for version, number in Counter(world.published).items() if number > 1]
    assert twice == [5], "the version of the learner that is back: engines that hold it are left alone"
    world.published = list(dict.fromkeys(world.published))
    world.check(steps=6, staleness=staleness)
    assert (world.log[-1]["learner/restarts"], world.log[-1]["faults/rollout_worker"]) == (1.0, 1.0)
