"""One small fake for each role: same interface, same semantics, no process, no model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import numpy as np

from r1ray.algo.consensus import answer_classes
from r1ray.checks import MathAnswer
from r1ray.errors import EngineLost, PromptTooLong
from r1ray.types import (
    Float32Array,
    GroupRecord,
    GroupRequest,
    Int32Array,
    Outcome,
    Position,
    Prompt,
    PublishStats,
    Scored,
    ScoredTrajectory,
    Shard,
    StepStats,
    Trajectory,
    VersionSpan,
)

Chunk = tuple[Trajectory, ...]


def make_prompt(name: str = "p0", answer: str = "4") -> Prompt:
    return Prompt(id=name, text=f"question {name}", check=MathAnswer(answer), domain="math", language="en")


def make_trajectory(
    *, group_id: str = "0/0", index: int = 0, num_tokens: int = 3, version: int = 0, text: str = "x"
) -> Trajectory:
    return Trajectory.completion(
        group_id=group_id,
        index=index,
        prompt_token_ids=np.arange(1, 3, dtype=np.int32),
        token_ids=np.arange(5, 5 + num_tokens, dtype=np.int32),
        logprobs=np.full(num_tokens, -1.0, dtype=np.float32),
        text=text,
        versions=(VersionSpan(version, 0, num_tokens),),
    )


def samples_of(shards: Sequence[Shard], chunks: Sequence[Chunk]) -> list[tuple[Trajectory, float]]:
    """The trajectories that shards name, each with its advantage, in the order of the shards."""
    by_id = {trajectory.id: trajectory for chunk in chunks for trajectory in chunk}
    samples = [s for shard in shards for mb in shard.minibatches for micro in mb.microbatches for s in micro]
    return [(by_id[sample.id], sample.advantage) for sample in samples]


class Events(list[str]):
    """What happened, in order."""


class FakeEngine:
    """Yields each trajectory by itself, one event-loop turn apart; ``delay`` turns first for chosen occurrences."""

    def __init__(self, events: Events, *, delay: Callable[[str], int] = lambda occurrence: 0) -> None:
        self.events, self.delay = events, delay
        self.version = -1
        self.fail_next = 0
        self.too_long: set[str] = set()

    async def generate(self, request: GroupRequest) -> AsyncIterator[Chunk]:
        self.events.append(f"generate {request.occurrence} v{self.version}")
        if request.occurrence in self.too_long:
            raise PromptTooLong(request.occurrence)
        started = self.version
        for _ in range(self.delay(request.occurrence)):
            await asyncio.sleep(0)
        for index in range(request.num_completions):
            await asyncio.sleep(0)
            if self.fail_next:
                self.fail_next -= 1
                raise EngineLost("planted")
            yield (make_trajectory(group_id=request.occurrence, index=index, version=started),)


class FakeScorer:
    """Rewards trajectory i with ``reward(i)``."""

    def __init__(self, reward: Callable[[Trajectory], Outcome] | None = None) -> None:
        self.reward = reward or (lambda c: Scored(float(c.index % 2), {"accuracy": float(c.index % 2)}))
        self.scored: list[tuple[str, int]] = []

    async def score(self, prompt: Prompt, chunk: Chunk) -> tuple[ScoredTrajectory, ...]:
        await asyncio.sleep(0)
        self.scored += [(trajectory.group_id, trajectory.index) for trajectory in chunk]
        return tuple(
            ScoredTrajectory.of(trajectory, self.reward(trajectory), extracted=str(trajectory.index % 2))
            for trajectory in chunk
        )

    async def classes(self, prompt: Prompt, answers: Sequence[str | None]) -> tuple[int | None, ...]:
        return tuple(answer_classes(answers, equivalent=lambda one, other: False))


class FakeLearner:
    """Remembers what it was trained on."""

    def __init__(self, events: Events, *, turns: int = 3) -> None:
        self.events, self.turns = events, turns
        self.trained: list[list[str]] = []
        self.staleness: list[int] = []
        self.refreshes = 0
        self.crash_at: int | None = None
        self.crash: Exception = RuntimeError("planted")
        self.slow_writes = 0
        self.figures: dict[int, dict[str, float]] = {}
        """Further metrics of the step that is made of a version."""

    async def train(self, shards: Sequence[Shard], chunks: Sequence[Chunk]) -> StepStats:
        version = shards[0].learner_version
        self.events.append(f"train v{version}")
        if version == self.crash_at:
            raise self.crash
        for _ in range(self.turns):
            await asyncio.sleep(0)
        used = [trajectory for trajectory, _ in samples_of(shards, chunks)]
        self.trained.append(sorted({trajectory.group_id for trajectory in used}))
        self.staleness += [version - trajectory.oldest_version for trajectory in used]
        metrics = {"loss/policy": 0.0, "lr": 1.0} | self.figures.get(version, {})
        return StepStats(metrics, trained_tokens=len(used), padding_tokens=0)

    async def refresh_reference(self) -> None:
        self.events.append("refresh")
        self.refreshes += 1

    async def logprobs(self, sequences: Sequence[Int32Array]) -> Float32Array:
        return np.zeros(sum(len(token_ids) - 1 for token_ids in sequences), dtype=np.float32)

    async def save(self, folder: Path, *, asynchronous: bool = False) -> None:
        self.events.append("save")
        self._unwritten = (folder / "weights", self.slow_writes if asynchronous else 0)
        if not asynchronous:
            await self.written()

    async def written(self) -> bool:
        path, turns = self._unwritten
        self._unwritten = (path, turns - 1)
        if turns > 0:
            return False
        path.write_text("w")
        return True

    async def load(self, folder: Path) -> None:
        assert (folder / "weights").exists()

    async def export(self, folder: Path, *, checkpoint: Path | None = None) -> None:
        folder.mkdir()


class FakeWeightSync:
    """Gives the engine the version."""

    def __init__(self, events: Events, engine: FakeEngine) -> None:
        self.events, self.engine = events, engine
        self.held_out: list[int] = []
        """Versions that engines which only evaluate got too."""
        self.probed: list[int] = []
        """Versions of which a probe was asked for."""

    async def publish(self, version: int, *, held_out: bool = False, probe: bool = False) -> PublishStats:
        self.events.append(f"publish v{version}")
        self.held_out += [version] if held_out else []
        self.probed += [version] if probe else []
        await asyncio.sleep(0)
        self.engine.version = version
        return PublishStats(version, 0.0, 0, 1, 0, None)


class FakeRecorder:
    """Keeps the records by step."""

    def __init__(self) -> None:
        self.records: dict[int, list[GroupRecord]] = {}
        self.aside: list[GroupRecord] = []

    async def record(self, step: int, groups: Sequence[tuple[GroupRecord, Sequence[Chunk]]]) -> None:
        self.records[step] = [record for record, _ in groups]

    async def set_aside(self, step: int, groups: Sequence[tuple[GroupRecord, Sequence[Chunk]]]) -> Path:
        self.aside = [record for record, _ in groups]
        return Path(f"not_finite_step={step}")

    async def flush(self) -> None:
        return


class FakePrompts:
    """An endless sequence of prompts, eight an epoch."""

    PER_EPOCH = 8

    def __init__(self, position: Position | None = None) -> None:
        self.position = position or Position()

    def take(self) -> tuple[Position, Prompt]:
        taken = self.position
        following = taken.index + 1
        self.position = Position(taken.epoch, following) if following < self.PER_EPOCH else Position(taken.epoch + 1, 0)
        return taken, self.at(taken)

    def at(self, position: Position) -> Prompt:
        return make_prompt(f"p{position.index}")
