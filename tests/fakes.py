"""One small fake for each role: same interface, same semantics, no process, no model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from r1ray.algo.consensus import answer_classes
from r1ray.checks import MathAnswer
from r1ray.data.position import Position
from r1ray.errors import EngineLost, GroupLost, LearnerLost, PromptTooLong
from r1ray.interfaces import Scorer
from r1ray.rollout.engine import Generated, RolloutEngine, TrajectoryRequest, one_segment
from r1ray.rollout.engine_clock import EngineClock
from r1ray.rollout.group_worker import GroupWorker
from r1ray.rollout.placement import EngineState
from r1ray.types import (
    EngineTimes,
    Float32Array,
    GroupRecord,
    GroupRequest,
    Int32Array,
    Outcome,
    Prompt,
    PublishStats,
    Scored,
    ScoredGroup,
    ScoredTrajectory,
    Shard,
    StepStats,
    Trajectory,
    VersionSpan,
    group_of,
    trajectory_id,
)


def make_prompt(name: str = "p0", answer: str = "4") -> Prompt:
    return Prompt(id=name, text=f"question {name}", check=MathAnswer(answer), domain="math", language="en")


def make_trajectory(
    *, group_id: str = "0/0", index: int = 0, num_tokens: int = 3, version: int = 0, text: str = "x"
) -> Trajectory:
    return one_segment(
        group_id=group_id,
        index=index,
        prompt_token_ids=np.arange(1, 3, dtype=np.int32),
        token_ids=np.arange(5, 5 + num_tokens, dtype=np.int32),
        logprobs=np.full(num_tokens, -1.0, dtype=np.float32),
        text=text,
        versions=(VersionSpan(version, 0, num_tokens),),
    )


def samples_of(shards: Sequence[Shard], groups: Sequence[ScoredGroup]) -> list[tuple[str, ScoredTrajectory, float]]:
    """The trajectories that shards name: id, facts and advantage of each, in the order of the shards."""
    by_id = {trajectory_id(group.group_id, each.index): each for group in groups for each in group.trajectories}
    samples = [s for shard in shards for mb in shard.minibatches for micro in mb.microbatches for s in micro]
    return [(sample.id, by_id[sample.id], sample.advantage) for sample in samples]


class Events(list[str]):
    """What happened, in order."""


class FakeEngine:
    """Yields each trajectory by itself; ``delay`` turns of the event loop first for chosen groups."""

    def __init__(self, events: Events, *, delay: Callable[[str], int] = lambda group_id: 0) -> None:
        self.events, self.delay = events, delay
        self.version = -1
        self.fail_next = 0
        self.too_long: set[str] = set()
        self.on_lost: Callable[[], None] = lambda: None
        self.clock = EngineClock()
        self._aborted: set[str] = set()

    async def generate(self, request: TrajectoryRequest) -> Generated:
        if request.index == 0:
            self.events.append(f"generate {request.group_id} v{self.version}")
        if request.group_id in self.too_long:
            raise PromptTooLong(request.group_id)
        started = self.version
        self._aborted.discard(request.id)
        with self.clock.running(is_eval=request.is_eval):
            for _ in range(self.delay(request.group_id) + request.index + 1):
                await asyncio.sleep(0)
                if request.id in self._aborted:
                    return Generated(replace(self._trajectory(request, started), status="aborted"), 0)
        if self.fail_next:
            self.fail_next -= 1
            self.on_lost()
            raise EngineLost("planted")
        return Generated(self._trajectory(request, started), 0)

    async def abort(self, ids: Sequence[str]) -> None:
        self._aborted |= set(ids)

    async def times(self) -> EngineTimes:
        return self.clock.times()

    def _trajectory(self, request: TrajectoryRequest, version: int) -> Trajectory:
        return make_trajectory(group_id=request.group_id, index=request.index, version=version)


class FakeScorer:
    """Rewards trajectory i with ``reward(i)``."""

    def __init__(self, reward: Callable[[Trajectory], Outcome] | None = None) -> None:
        self.reward = reward or (lambda c: Scored(float(c.index % 2), {"accuracy": float(c.index % 2)}))
        self.scored: list[tuple[str, int]] = []

    async def score(self, prompt: Prompt, trajectory: Trajectory) -> ScoredTrajectory:
        await asyncio.sleep(0)
        self.scored.append((trajectory.group_id, trajectory.index))
        return ScoredTrajectory.of(trajectory, self.reward(trajectory), extracted=str(trajectory.index % 2))

    async def classes(self, prompt: Prompt, answers: Sequence[str | None]) -> tuple[int | None, ...]:
        return tuple(answer_classes(answers, equivalent=lambda one, other: False))


class FakeGroups:
    """Groups run by a real group worker, on one engine."""

    def __init__(self, engine: RolloutEngine, scorer: Scorer, *, deadline_s: float = 600.0) -> None:
        self.worker = GroupWorker(scorer, deadline_s=deadline_s)
        self._engine, self._scorer = engine, scorer
        self.gone: set[str] = set()
        """Groups that were lost with their worker."""
        self.recovers = False

    async def _serve(self) -> None:
        await self.worker.set_engines([EngineState("engine", 0, self._engine, 10**6, "serving")])

    async def run(self, request: GroupRequest) -> ScoredGroup:
        await self._serve()
        return await self.worker.run(request)

    async def sample(self, request: GroupRequest) -> tuple[Trajectory, ...]:
        await self._serve()
        return await self.worker.sample(request)

    async def abort(self, group_id: str, reason: str) -> None:
        await self.worker.abort(group_id, reason)

    def is_held(self, group: ScoredGroup) -> bool:
        return group.group_id not in self.gone

    async def read(self, groups: Sequence[ScoredGroup]) -> dict[str, Trajectory]:
        return {name: each for group in groups for name in group.ids if (each := self.worker.held(name))}

    async def drop(self, groups: Iterable[ScoredGroup]) -> None:
        for group in groups:
            await self.worker.drop(group.ids)

    async def classes(self, prompt: Prompt, answers: Sequence[str | None]) -> tuple[int | None, ...] | None:
        return await self._scorer.classes(prompt, answers)

    async def engine_times(self) -> dict[str, EngineTimes]:
        return {"engine": await self._engine.times()}

    def is_recovering(self) -> bool:
        return self.recovers


@dataclass
class FakeRunning:
    """In the place of engines and reward actors on Ray."""

    groups: FakeGroups
    reward_model: None = None

    def shutdown(self) -> None:
        pass


class FakeLearner:
    """Remembers what it was trained on."""

    def __init__(self, events: Events, *, turns: int = 3) -> None:
        self.events, self.turns = events, turns
        self.trained: list[list[str]] = []
        self.weights: list[str] = []
        """What the weights are made of: the groups that they were trained on."""
        self.staleness: list[int] = []
        self.refreshes = 0
        self.crash_at: int | None = None
        self.crash: Exception = RuntimeError("planted")
        self.slow_writes = 0
        self.lost: set[str] = set()
        """Groups that are gone when they are to be trained on."""
        self.metrics: dict[int, dict[str, float]] = {}
        """Further metrics of the step that is made of a version."""
        self.restarts = 0
        self.silent: tuple[int, ...] = ()
        """Ranks that hang, until a restart."""
        self.fails_to_start = 0
        self.tell_loss: Callable[[LearnerLost], None] = lambda error: None

    async def train(
        self, shards: Sequence[Shard], groups: Sequence[ScoredGroup], *, has_more: bool = False
    ) -> StepStats:
        version = shards[0].learner_version
        self.events.append(f"train v{version}" + (" in part" if has_more else ""))
        if version == self.crash_at:
            raise self.crash
        if lost := [group.group_id for group in groups if group.group_id in self.lost]:
            self.lost.clear()
            raise GroupLost(tuple(lost))
        for _ in range(self.turns):
            await asyncio.sleep(0)
        used = samples_of(shards, groups)
        self.trained.append(sorted({group_of(name) for name, _, _ in used}))
        self.weights += self.trained[-1]
        self.staleness += [version - each.oldest_version for _, each, _ in used]
        metrics = {"loss/policy": 0.0, "lr": 1.0} | self.metrics.get(version, {})
        return StepStats(metrics, trained_tokens=len(used), padding_tokens=0)

    async def refresh_reference(self) -> None:
        self.events.append("refresh")
        self.refreshes += 1

    async def logprobs(self, sequences: Sequence[Int32Array]) -> Float32Array:
        return np.zeros(sum(len(token_ids) - 1 for token_ids in sequences), dtype=np.float32)

    async def save(self, folder: Path, *, asynchronous: bool = False) -> None:
        self.events.append("save")
        self._unwritten = (folder / "weights", self.slow_writes if asynchronous else 0, json.dumps(self.weights))
        if not asynchronous:
            await self.written()

    async def written(self) -> bool:
        path, turns, weights = self._unwritten
        self._unwritten = (path, turns - 1, weights)
        if turns > 0:
            return False
        path.write_text(weights)
        return True

    async def load(self, folder: Path) -> None:
        self.weights = json.loads((folder / "weights").read_text())
        self.events.append(f"load {folder.parent.name}")

    async def export(self, folder: Path, *, checkpoint: Path | None = None) -> None:
        folder.mkdir()

    async def restart(self) -> None:
        self.events.append("restart")
        await asyncio.sleep(0)
        if self.fails_to_start:
            self.fails_to_start -= 1
            raise LearnerLost("a rank died while it started")
        self.restarts += 1
        self.silent, self.weights = (), []

    async def check(self) -> None:
        if self.silent:
            raise LearnerLost(f"learner ranks {self.silent} do not answer", self.silent)

    def when_lost(self, callback: Callable[[LearnerLost], None]) -> None:
        self.tell_loss = callback


class FakeWeightSync:
    """Gives the engine the version."""

    def __init__(self, events: Events, engine: FakeEngine) -> None:
        self.events, self.engine = events, engine
        self.to_eval_engines: list[int] = []
        """Versions that engines which only evaluate got too."""
        self.probed: list[int] = []
        """Versions of which a probe was asked for."""
        self.lose_eval_engine: Callable[[], None] = lambda: None
        self.shares_devices = False

    async def publish(self, version: int, *, eval_engines: bool = False, probe: bool = False) -> PublishStats:
        self.events.append(f"publish v{version}")
        self.to_eval_engines += [version] if eval_engines else []
        self.probed += [version] if probe else []
        await asyncio.sleep(0)
        self.engine.version = version
        return PublishStats(version, 0.0, 0, 1, 0, None)

    async def rest(self) -> None:
        self.events += ["rest"] if self.shares_devices else []

    async def go_on(self, version: int) -> None:
        self.events += [f"go on v{version}"] if self.shares_devices else []

    def when_lost(self, callback: Callable[[], None]) -> None:
        before = self.engine.on_lost

        def both() -> None:
            before()
            callback()

        self.engine.on_lost = both

    def when_behind(self, callback: Callable[[], None]) -> None:
        self.when_lost(callback)

    def when_eval_lost(self, callback: Callable[[], None]) -> None:
        self.lose_eval_engine = callback


class FakeRecorder:
    """Keeps the records by step."""

    def __init__(self) -> None:
        self.records: dict[int, list[GroupRecord]] = {}
        self.aside: list[GroupRecord] = []

    async def record(self, step: int, records: Sequence[GroupRecord]) -> None:
        self.records[step] = list(records)

    async def set_aside(self, step: int, records: Sequence[GroupRecord]) -> Path:
        self.aside = list(records)
        return Path(f"not_finite_step={step}")

    async def flush(self) -> None:
        return

    def when_lost(self, callback: Callable[[], None]) -> None:
        return


class FakePrompts:
    """An endless sequence of prompts, eight an epoch."""

    PER_EPOCH = 8

    def __init__(self, position: Position | None = None) -> None:
        self.position = position or Position()
        self.observed: list[tuple[Position, str]] = []
        self.loaded: list[dict[str, Any]] = []

    def take(self) -> tuple[Position, Prompt]:
        taken = self.position
        following = taken.index + 1
        self.position = Position(taken.epoch, following) if following < self.PER_EPOCH else Position(taken.epoch + 1, 0)
        return taken, self.at(taken)

    def at(self, position: Position) -> Prompt:
        return make_prompt(f"p{position.index}")

    def observe(self, position: Position, group: ScoredGroup) -> None:
        self.observed.append((position, group.group_id))

    def state(self, oldest: Position) -> dict[str, Any]:
        return {"oldest": [oldest.epoch, oldest.index], "observed": [group_id for _, group_id in self.observed]}

    def load(self, state: Mapping[str, Any]) -> None:
        self.loaded.append(dict(state))

    def metrics(self) -> dict[str, float]:
        return {"difficulty/retired": 0.0}
