"""Seconds of phases and the one that fails, by the loop with fakes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from r1ray.config import AlgoConfig, DataConfig, DeadlineConfig, RewardConfig, RunConfig
from r1ray.doctor.watch import PhaseFailed, Watch
from r1ray.errors import DeadlineExceeded, LearnerLost, ParityError, R1RayError
from r1ray.loop.checkpoint import Checkpoints
from r1ray.loop.controller import Controller
from r1ray.loop.roles import Roles
from r1ray.types import Float32Array, Int32Array, PublishStats, ScoredGroup, ScoringFailed, Shard, StepStats
from tests.fakes import (
    Events,
    FakeEngine,
    FakeGroups,
    FakeLearner,
    FakePrompts,
    FakeRecorder,
    FakeScorer,
    FakeWeightSync,
)

PROBE = np.arange(5, dtype=np.int32)


def config(**deadlines: float) -> RunConfig:
    return RunConfig(
        model="m",
        data=DataConfig(train="t"),
        steps=2,
        algo=AlgoConfig(group_size=2, prompts_per_step=3, minibatches_per_step=1),
        reward=RewardConfig(parts={"accuracy": {"deadline_s": 0.01}}),
        deadlines=DeadlineConfig(**deadlines),
    )


class Loop:
    """Fakes, a watch, and a controller that is run to its end."""

    def __init__(self, folder: Path, *, scorer: FakeScorer | None = None, **deadlines: float) -> None:
        self.config, self.folder, self.watch = config(**deadlines), folder, Watch(PROBE)
        events = Events()
        self.engine, self.learner = FakeEngine(events), FakeLearner(events)
        groups = FakeGroups(self.engine, scorer or FakeScorer())
        self.roles = Roles(
            groups=groups,
            learner=self.learner,
            weights=FakeWeightSync(events, self.engine),
            recorder=FakeRecorder(),
            eval_groups=groups,
        )

    def run(self) -> None:
        async def whole() -> None:
            controller = Controller(
                self.config,
                self.watch.watched(self.roles),
                FakePrompts(),
                checkpoints=Checkpoints(self.folder, keep=1),
                log=lambda metrics: None,
            )
            await controller.run()

        asyncio.run(whole())

    def fail(self) -> tuple[str, Exception]:
        """The phase in which it failed, and how."""
        with pytest.raises(Exception) as raised:
            self.run()
        return self.watch.failed(raised.value), raised.value


def test_every_phase_of_the_loop_is_seen(tmp_path: Path) -> None:
    loop = Loop(tmp_path)
    loop.run()
    watch = loop.watch
    assert list(watch.seconds) == ["generate", "reward", "learn", "publish", "probe"]
    assert [published.version for published in watch.publishes] == [0, 1, 2]
    assert (len(watch.steps), len(watch.trajectories), len(watch.learner_logprobs)) == (2, 2 * 3 * 2, 3)
    assert watch.moved() == [0.0, 0.0], "the fake's log-probabilities are always the same"


def test_the_learner_is_asked_while_it_has_its_device(tmp_path: Path) -> None:
    class Asked(FakeLearner):
        async def logprobs(self, sequences: Sequence[Int32Array]) -> Float32Array:
            self.events.append("logprobs")
            return await super().logprobs(sequences)

    loop = Loop(tmp_path)
    loop.roles = replace(loop.roles, learner=Asked(loop.learner.events))
    loop.run()
    seen = [each for each in loop.learner.events if each == "logprobs" or each.startswith(("train", "publish"))]
    assert [each.split()[0] for each in seen] == ["logprobs", "publish", *["train", "logprobs", "publish"] * 2]


def test_seconds_of_calls_at_the_same_time_count_once() -> None:
    async def two() -> dict[str, float]:
        watch = Watch(PROBE)

        async def one() -> None:
            with watch.during("generate"):
                await asyncio.sleep(0.1)

        await asyncio.gather(one(), one())
        return watch.seconds

    assert 0.1 <= asyncio.run(two())["generate"] < 0.19


@pytest.mark.parametrize(
    ("second", "expected"), [(0.0, {"generate": 2.0, "reward": 1.0}), (10.0, {"generate": 4.0, "reward": 2.0})]
)
def test_seconds_of_groups_are_told_by_the_groups_and_count_once_too(
    second: float, expected: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two groups that generate for 2 s and are rewarded for 1 s; the second ends ``second`` later."""
    clock = iter([100.0, 100.0 + second])
    monkeypatch.setattr("r1ray.doctor.watch.time.monotonic", lambda: next(clock))
    watch = Watch(PROBE)
    for name in ("0/0", "0/1"):
        watch._note(
            ScoredGroup(
                group_id=name, trajectories=(), removed=(), worker=0, incarnation="", generate_s=2.0, reward_s=1.0
            )
        )
    assert watch.seconds == expected


def test_a_probe_is_no_part_of_its_publish(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch(PROBE)
    clock = iter([0.0, 5.0])
    monkeypatch.setattr("r1ray.doctor.watch.time.monotonic", lambda: next(clock))
    with watch.during("publish"):
        watch.publishes.append(PublishStats(0, 5.0, 8, 1, 0, 0.01, 0.001, probe_s=3.0))
    assert watch.seconds == {"publish": 2.0, "probe": 3.0}


def test_a_learner_that_fails_is_the_phase_and_not_what_is_cancelled_because_of_it(tmp_path: Path) -> None:
    loop = Loop(tmp_path)
    loop.learner.crash_at = 1
    loop.config = replace(loop.config, algo=replace(loop.config.algo, max_staleness=1, allow_unbounded_staleness=True))
    loop.engine.delay = lambda group_id: 0 if int(group_id.split("/")[1]) < 6 else 10**6
    assert loop.fail()[0] == "learn"


class SlowLearner(FakeLearner):
    async def train(
        self, shards: Sequence[Shard], groups: Sequence[ScoredGroup], *, has_more: bool = False
    ) -> StepStats:
        await asyncio.sleep(60)
        raise AssertionError


def test_the_phase_whose_deadline_passes_is_named(tmp_path: Path) -> None:
    learning = Loop(tmp_path, learn_s=0.2)
    learning.roles = replace(learning.roles, learner=SlowLearner(Events()))
    learning.config.learner.max_restarts = 0
    generating = Loop(tmp_path, generate_s=0.02, score_s=0.02, start_s=0.02)
    generating.engine.delay = lambda group_id: 10**6
    found = [loop.fail() for loop in (learning, generating)]
    assert [phase for phase, _ in found] == ["learn", "generate"]
    assert [type(error) for _, error in found] == [LearnerLost, DeadlineExceeded]


def test_an_engine_that_was_lost_and_replaced_is_not_what_failed(tmp_path: Path) -> None:
    loop = Loop(tmp_path)
    loop.engine.fail_next = 1
    loop.learner.crash_at = 1
    assert loop.fail()[0] == "learn"


def test_completions_that_cannot_be_scored_are_the_reason_and_reward_the_phase(tmp_path: Path) -> None:
    loop = Loop(tmp_path, scorer=FakeScorer(lambda trajectory: ScoringFailed("no verifier")))
    phase, error = loop.fail()
    assert phase == "reward" and "unscored" in str(error)
    assert str(loop.watch.reason(phase)) == "no verifier"


def raises(error: Exception) -> Callable[..., object]:
    def raising(*arguments: object, **keywords: object) -> object:
        raise error

    return raising


def test_a_publish_that_fails_by_its_probe_is_a_failed_probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for error in (R1RayError("lost"), ParityError("rollout 0 differs")):
        monkeypatch.setattr(FakeWeightSync, "publish", raises(error))
        found.append(Loop(tmp_path).fail()[0])
    assert found == ["publish", "probe"]


def test_a_phase_says_itself_that_what_it_did_is_not_right() -> None:
    assert Watch(PROBE).failed(PhaseFailed("reload", "another model")) == "reload"


def test_without_a_broken_call_it_is_the_phase_that_was_entered_last() -> None:
    watch = Watch(PROBE)
    with watch.during("model"):
        pass
    assert watch.failed(ValueError("no model")) == "model"
    assert watch.reason("model") is None
