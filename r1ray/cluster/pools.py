"""The roles over many Ray actors: least-loaded routing, retry, and the fate of lost actors."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import ray
from ray.exceptions import RayActorError, RayError

from r1ray.cluster.host import Handle
from r1ray.config import JudgeConfig
from r1ray.errors import DeadlineExceeded, EngineLost, GroupFailed, InfrastructureError, PromptTooLong
from r1ray.runtime.deadline import within
from r1ray.types import (
    Float32Array,
    GroupRecord,
    GroupRequest,
    Int32Array,
    Prompt,
    ScoringFailed,
    Shard,
    StepStats,
    Verdict,
)

Ref = Any  # ObjectRef[tuple[Completion, ...]]; Ray's own types are not generic over actor methods
MAX_SCORING_ATTEMPTS = 3
MAX_STARTS = 3
"""Of an actor in the place of a lost one."""
PATIENCE = 10
"""A chunk waits at most so many deadlines, however busy its actor is with others."""


@dataclass(eq=False)
class Engine:
    """One rollout actor."""

    name: str
    actor: Handle
    num_workers: int
    """vLLM workers inside it: tensor-parallel ranks of all pipeline stages."""
    load: int = 0
    """Completions under way."""
    is_lost: bool = False
    verified: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while the engine holds verified weights of the published version."""
    failed_rounds: int = 0
    """Publishes after which the engine was found wrong; what it sampled in between is not handed on."""


class RolloutPool:
    """The RolloutEngine role over rollout actors."""

    def __init__(self, engines: Sequence[Engine], spawn: Callable[[str], Handle]) -> None:
        """``spawn(name)`` starts another actor in the place of the one of that name."""
        self.engines = list(engines)
        self._spawn = spawn
        self._changed = asyncio.Event()
        self.lost = asyncio.Event()
        """Set when an engine is lost; whoever acts on it clears it."""

    async def generate(self, request: GroupRequest) -> AsyncIterator[Ref]:
        """See :class:`r1ray.interfaces.RolloutEngine`. The group goes to the engine with least to do."""
        engine = await self._least_loaded()
        engine.load += request.num_completions
        failed_rounds = engine.failed_rounds
        try:
            stream = engine.actor.generate.stream(request)
            async for ref in stream:
                if ref == stream.completed():  # a failed stream ends with the reference to its exception
                    await ref
                # What an engine sampled under weights that turn out to be wrong is never handed on.
                await engine.verified.wait()
                if engine.is_lost or engine.failed_rounds != failed_rounds:
                    raise EngineLost(f"{engine.name} was found wrong")
                yield ref
        except RayError as error:  # what an actor raises comes as its own class and as Ray's
            if isinstance(error, RayActorError | EngineLost):
                self.lose(engine)
                raise EngineLost(f"{engine.name} failed: {error}") from error
            failure = PromptTooLong if isinstance(error, PromptTooLong) else GroupFailed
            raise failure(f"group {request.occurrence} on {engine.name}: {error}") from error
        finally:
            engine.load -= request.num_completions

    async def _least_loaded(self) -> Engine:
        while True:
            serving = [engine for engine in self.engines if engine.verified.is_set() and not engine.is_lost]
            if serving:
                return min(serving, key=lambda engine: engine.load)
            self._changed.clear()
            await self._changed.wait()

    def lose(self, engine: Engine) -> None:
        """No more requests for this engine; those that wait for its verification end."""
        engine.is_lost = True
        engine.verified.set()
        self.lost.set()

    def begin_verification(self) -> None:
        """Hold back what engines produce until :meth:`end_verification`."""
        for engine in self.engines:
            if not engine.is_lost:
                engine.verified.clear()

    def end_verification(self) -> None:
        for engine in self.engines:
            engine.verified.set()
        self._changed.set()

    async def replace_lost(self, *, prepare: Callable[[Handle], Awaitable[None]] | None = None) -> int:
        """Start a new actor in the place of each lost one, and ``prepare`` it. Returns how many."""
        lost = [engine for engine in self.engines if engine.is_lost]
        for engine in lost:
            engine.actor.kill()
            fresh = Engine(engine.name, await self._started(engine.name, prepare), engine.num_workers)
            self.engines[self.engines.index(engine)] = fresh
        return len(lost)

    async def _started(self, name: str, prepare: Callable[[Handle], Awaitable[None]] | None) -> Handle:
        """Another actor of that name, which answers. One that dies while it starts gets a successor: for half a minute
        Ray places actors on a node that it does not yet know to be lost. Raises InfrastructureError."""
        for attempt in range(1, MAX_STARTS + 1):
            actor = self._spawn(name)
            try:
                await actor.ready.remote()
                if prepare is not None:
                    await prepare(actor)
                return actor
            except RayError as error:
                actor.kill()
                if attempt == MAX_STARTS or not isinstance(error, RayActorError):
                    raise InfrastructureError(f"{name} could not be started again: {error}") from error
        raise AssertionError


class ScorerPool:
    """The Scorer role over reward actors."""

    def __init__(
        self, actors: Sequence[Handle], spawn: Callable[[int], Handle], *, deadline_s: float, max_in_flight: int
    ) -> None:
        """
        Args:
            spawn: ``spawn(index)`` starts another actor in the place of that one.
            deadline_s: how long an actor that has chunks may answer nothing at all. (A chunk may wait longer for its
                turn behind slow ones; each part of the reward has a deadline of its own.)
            max_in_flight: chunks that one actor holds at a time; others wait here, where no clock runs.
        """
        self.actors, self._spawn = list(actors), spawn
        self._load = [0] * len(self.actors)
        self._heard = [0.0] * len(self.actors)  # when each last answered
        self._deadline_s = deadline_s
        self._slots = asyncio.Semaphore(max_in_flight * len(self.actors))

    async def score(self, prompt: Prompt, chunk: Ref) -> tuple[Verdict, ...]:
        """See :class:`r1ray.interfaces.Scorer`. A reward actor that fails or is late is not the model's fault: it is
        replaced, the chunk goes to another one, and after ``MAX_SCORING_ATTEMPTS`` its completions are
        ``ScoringFailed``. So does a chunk of which an actor could not score a completion."""

        def is_whole(verdicts: tuple[Verdict, ...]) -> bool:
            return not any(isinstance(verdict.outcome, ScoringFailed) for verdict in verdicts)

        async with self._slots:
            try:
                return cast("tuple[Verdict, ...]", await self._ask("score", prompt, chunk, is_good=is_whole))
            except InfrastructureError as error:
                failure = str(error)
            try:
                completions = await within(
                    self._deadline_s,
                    chunk,
                    waiter="the controller",
                    owner="a group's completions",
                    key="deadlines.score_s",
                )
            except RayError as error:  # they went down with their node
                raise EngineLost(f"the completions of a group are gone: {error}") from error
        return tuple(Verdict.of(completion, ScoringFailed(failure), extracted=None) for completion in completions)

    async def classes(self, prompt: Prompt, answers: Sequence[str | None]) -> tuple[int | None, ...] | None:
        """See :class:`r1ray.interfaces.Scorer`. Raises InfrastructureError after ``MAX_SCORING_ATTEMPTS``."""
        async with self._slots:
            return cast("tuple[int | None, ...] | None", await self._ask("classes", prompt, answers))

    async def _ask(
        self, method: str, prompt: Prompt, argument: Any, *, is_good: Callable[[Any], bool] = lambda answer: True
    ) -> Any:
        """What one actor after the other answers until an answer is good; the last one's, good or not. Raises
        InfrastructureError where the last one gave none."""
        failure, tried = "", set[int]()
        for attempt in range(1, MAX_SCORING_ATTEMPTS + 1):
            untried = [i for i in range(len(self.actors)) if i not in tried] or range(len(self.actors))
            index = min(untried, key=self._load.__getitem__)
            tried.add(index)
            actor = self.actors[index]
            self._load[index] += 1
            try:
                answer = await self._answer(index, getattr(actor, method).remote(prompt, argument))
                if attempt == MAX_SCORING_ATTEMPTS or is_good(answer):
                    return answer
            except (RayActorError, DeadlineExceeded) as error:
                failure = str(error)
                self._replace(index, actor)
            except RayError as error:
                failure = str(error)
            finally:
                self._load[index] -= 1
        raise InfrastructureError(failure)

    async def _answer(self, index: int, call: Any) -> Any:
        """What an actor answers. Raises DeadlineExceeded where it has gone quiet."""
        task = asyncio.ensure_future(call)
        started = time.monotonic()
        last = started + PATIENCE * self._deadline_s
        try:
            while True:
                due = min(last, max(started, self._heard[index]) + self._deadline_s)
                left = due - time.monotonic()
                if left <= 0:
                    raise DeadlineExceeded(
                        f"the controller waited {time.monotonic() - started:.0f} s for reward actor {index}, which "
                        f"answered nothing for {self._deadline_s:g} s. If rewards are that slow here, raise "
                        "deadlines.score_s; otherwise look at the actor's log."
                    )
                await asyncio.wait({task}, timeout=left)
                if task.done():
                    answer = await task
                    self._heard[index] = time.monotonic()
                    return answer
        finally:
            task.cancel()

    def _replace(self, index: int, actor: Handle) -> None:
        """Another actor in the place of one that died or hangs; once, however many calls notice."""
        if self.actors[index] is actor:
            actor.kill()
            self.actors[index] = self._spawn(index)


class ActorPool:
    """Calls to the one of several like actors that has least to do. Ray starts one that dies again; meanwhile its call
    goes to another, ``MAX_ATTEMPTS`` times in all. It may be passed on to other actors: each then counts by itself."""

    MAX_ATTEMPTS = 4
    RESTART_S = 5.0
    """How long an actor gets to come back before the next attempt, times the number of the attempt."""

    def __init__(self, actors: Sequence[Handle], *, deadline_s: float, what: str, key: str) -> None:
        """``what`` and ``key`` are of the deadline's message: whom was waited for, and which key says how long."""
        self._actors, self._deadline_s, self._what, self._key = list(actors), deadline_s, what, key
        self._load = [0] * len(self._actors)

    async def call(self, method: str, *arguments: Any) -> Any:
        """Raises what the method raises, DeadlineExceeded, and InfrastructureError where no actor lives."""
        failure = ""
        for attempt in range(1, self.MAX_ATTEMPTS + 1):
            index = min(range(len(self._actors)), key=self._load.__getitem__)
            actor = self._actors[index]
            self._load[index] += 1
            try:
                return await within(
                    self._deadline_s,
                    getattr(actor, method).remote(*arguments),
                    waiter="a caller",
                    owner=f"{self._what} {index}",
                    key=self._key,
                )
            except EngineLost as error:
                failure = str(error)
                ray.kill(actor.actor, no_restart=False)
            except RayActorError as error:
                failure = str(error)
            finally:
                self._load[index] -= 1
            await asyncio.sleep(self.RESTART_S * attempt)
        raise InfrastructureError(f"{self._what}: no answer in {self.MAX_ATTEMPTS} attempts: {failure}")


class JudgePool(ActorPool):
    """A :class:`r1ray.reward.judged.Judge` over judge actors."""

    def __init__(self, actors: Sequence[Handle], config: JudgeConfig) -> None:
        super().__init__(actors, deadline_s=config.deadline_s, what="judge", key="judge.deadline_s")
        self._slots = asyncio.Semaphore(config.max_in_flight)

    async def ask(self, prompt: str, schema: Mapping[str, object]) -> Mapping[str, object]:
        try:
            async with self._slots:  # the clock starts with the question
                return cast("Mapping[str, object]", await self.call("ask", prompt, schema))
        except DeadlineExceeded as error:  # the caller is not stuck: it need not be replaced
            raise InfrastructureError(str(error)) from error


class RewardModelPool(ActorPool):
    """A reward model over actors: see :class:`r1ray.reward.model.RewardModel`."""

    def __init__(
        self,
        actors: Sequence[Handle],
        *,
        deadline_s: float,
        what: str = "reward model",
        key: str = "deadlines.score_s",
    ) -> None:
        super().__init__(actors, deadline_s=deadline_s, what=what, key=key)

    async def score(self, texts: Sequence[tuple[str, str]]) -> list[float]:
        return cast("list[float]", await self.call("score", texts))

    async def step_scores(self, prompt: str, steps: Sequence[str]) -> list[float]:
        return cast("list[float]", await self.call("step_scores", prompt, steps))

    async def value(self, prompt: str, text: str) -> float:
        return float(await self.call("value", prompt, text))


class LearnerGroup:
    """The Learner role over the ranks of one DeepSpeed group."""

    def __init__(self, ranks: Sequence[Handle]) -> None:
        self.ranks = list(ranks)

    async def each(self, method: str, *arguments: Any, **keywords: Any) -> list[Any]:
        """Call a method on every rank at once; what any rank raises is raised."""
        calls = [getattr(rank, method).remote(*arguments, **keywords) for rank in self.ranks]
        return list(await _gather(calls))

    async def train(self, shards: Sequence[Shard], chunks: Sequence[Ref]) -> StepStats:
        """See :class:`r1ray.interfaces.Learner`. References are resolved inside each rank."""
        return await self._on_shards("train", shards, chunks)

    async def evaluate(self, shards: Sequence[Shard], chunks: Sequence[Any]) -> StepStats:
        """See :class:`r1ray.interfaces.SupervisedLearner`."""
        return await self._on_shards("evaluate", shards, chunks)

    async def _on_shards(self, method: str, shards: Sequence[Shard], chunks: Sequence[Any]) -> StepStats:
        together = len(self.ranks) // len(shards)  # ranks that compute the same rows
        references = [chunk if isinstance(chunk, ray.ObjectRef) else ray.put(chunk) for chunk in chunks]
        calls = [getattr(rank, method).remote(shards[i // together], *references) for i, rank in enumerate(self.ranks)]
        stats: StepStats = (await _gather(calls))[0]
        return stats

    async def refresh_reference(self) -> None:
        await self.each("refresh_reference")

    async def logprobs(self, sequences: Sequence[Int32Array]) -> Float32Array:
        values: Float32Array = (await self.each("logprobs", sequences))[0]
        return values

    async def save(self, folder: Path, *, asynchronous: bool = False) -> None:
        await self.each("save", folder, asynchronous=asynchronous)

    async def written(self) -> bool:
        return all(await self.each("written"))

    async def load(self, folder: Path) -> None:
        await self.each("load", folder)

    async def export(self, folder: Path, *, checkpoint: Path | None = None) -> None:
        await self.each("export", folder, checkpoint=checkpoint)


async def _gather(calls: Sequence[Any]) -> Sequence[Any]:
    try:
        return await asyncio.gather(*calls)
    except RayActorError as error:
        raise InfrastructureError(f"a learner rank died: {error}") from error


class RecorderProxy:
    """The Recorder role over one actor: references go in, Parquet files come out, nobody waits."""

    MAX_BEHIND = 8

    def __init__(self, actor: Handle, *, deadline_s: float) -> None:
        self._actor, self._deadline_s = actor, deadline_s
        self._pending: list[Any] = []

    async def record(self, step: int, groups: Sequence[tuple[GroupRecord, Sequence[Ref]]]) -> None:
        """See :class:`r1ray.interfaces.Recorder`. Waits only where the writer is ``MAX_BEHIND`` steps behind."""
        self._pending.append(self._write(step, groups))
        while len(self._pending) > self.MAX_BEHIND:
            await self._wait(self._pending.pop(0))

    async def set_aside(self, step: int, groups: Sequence[tuple[GroupRecord, Sequence[Ref]]]) -> Path:
        path: Path = await self._wait(self._write(step, groups, name="not_finite_step"))
        return path

    async def flush(self) -> None:
        while self._pending:
            await self._wait(self._pending.pop(0))

    def _write(self, step: int, groups: Sequence[tuple[GroupRecord, Sequence[Ref]]], **keywords: Any) -> Any:
        records = [record for record, _ in groups]
        counts = [len(chunks) for _, chunks in groups]
        chunks = [chunk for _, chunks in groups for chunk in chunks]
        return self._actor.write.remote(step, records, counts, *chunks, **keywords)

    async def _wait(self, pending: Any) -> Any:
        return await within(
            self._deadline_s, pending, waiter="the controller", owner="the rollout log", key="deadlines.checkpoint_s"
        )
