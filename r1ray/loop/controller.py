"""The GRPO loop (paper section 2.2.1).

    cursor --> _generate --> run_group (one task a group) --> ready --> _learn --> publish --> slots --> _generate
                  |              |  RolloutEngine, Scorer                |  Learner     |  WeightSync
                  `-- ledger.issue                        ledger.train --'              `-- version + 1

``_generate``   consumes slots and prompts, produces a task for each group. Waits for a free slot.
``_roll``       one group: generated, scored as its completions finish, put among the ready ones, or dropped.
``_learn``      consumes ``prompts_per_step`` ready groups, produces one step and one policy version. Waits for
                groups, the learner, the publish; frees the slots of the groups it trained on.
``_commit``     one checkpoint: waits until every rank has written its files, then makes it the newest. Training goes
                on meanwhile; the next checkpoint, and the end of the run, wait for it.

Training ends with version ``last``: ``steps``, or an earlier one where the figure that ``stop`` names has stopped to
rise. That is decided before a step, of the lines of metrics.jsonl before it, so that a resumed run decides the same.
``stop`` ends it between two steps, with a checkpoint to go on from.

There are ``(max_staleness + 1) * prompts_per_step`` slots. A group holds one from issue until the version that it
helped to make is live, so that generation runs at most ``max_staleness`` versions ahead; 0 is exactly on-policy.
Which groups a step takes is chosen so that long completions are never dropped for having been slow
(:mod:`r1ray.loop.admission`).
"""

from __future__ import annotations

import asyncio
import logging
import time
import zlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from r1ray.algo.advantage import is_uniform, step_advantages
from r1ray.algo.batching import plan_shards
from r1ray.algo.compose import normalised_rewards, total_reward
from r1ray.config import RunConfig
from r1ray.errors import EngineLost, GroupFailed, NonFiniteLoss, R1RayError, Terminated, UserError, first_of
from r1ray.interfaces import Learner, Recorder, RolloutEngine, Scorer, WeightSync
from r1ray.loop.admission import choose_batch
from r1ray.loop.checkpoint import Checkpoints, LoopState
from r1ray.loop.ledger import Ledger, occurrence_of, position_of
from r1ray.loop.metrics import IdleClock, batch_metrics, oldest_version, publish_metrics, throughput_metrics
from r1ray.loop.parity import is_suspicious
from r1ray.loop.stopping import has_plateaued
from r1ray.rollout.group import FinishedGroup, run_group
from r1ray.runtime.deadline import within
from r1ray.types import (
    EvalResult,
    GroupRecord,
    GroupRequest,
    Pick,
    Position,
    Prompt,
    PublishStats,
    Sampling,
    Scored,
    Shard,
    Unscorable,
    Verdict,
)

logger = logging.getLogger(__name__)

C = TypeVar("C")
T = TypeVar("T")
MAX_DROPS_IN_A_ROW = 64
"""Without one usable group between them; then something is wrong with all of them."""
POLL_S = 0.5
"""How often the learner is asked whether a checkpoint's files are written. It answers between its calls."""


class Evaluate(Protocol):
    """The held-out figures of a version, of the engines of ``Roles.held_out``."""

    def __call__(self, version: int, on_start: Callable[[int], None]) -> Coroutine[Any, Any, EvalResult]:
        """``on_start`` as of :func:`r1ray.rollout.group.run_group`."""
        ...


class PromptSource(Protocol):
    """What the loop needs of the data: a :class:`r1ray.data.prompts.PromptCursor`."""

    position: Position

    def take(self) -> tuple[Position, Prompt]: ...

    def at(self, position: Position) -> Prompt: ...


@dataclass(frozen=True, slots=True)
class Roles(Generic[C]):
    """The five roles and the rollout log (the reference lives beside the learner)."""

    rollout: RolloutEngine[C]
    scorer: Scorer[C]
    learner: Learner[C]
    weights: WeightSync
    recorder: Recorder[C]
    held_out: RolloutEngine[C]
    """What evaluates: the rollout engines, or engines of its own (``eval.num_actors``)."""


class Controller(Generic[C]):
    """Runs the loop from a :class:`~r1ray.loop.checkpoint.LoopState`, or from the start, to the last step."""

    def __init__(
        self,
        config: RunConfig,
        roles: Roles[C],
        prompts: PromptSource,
        *,
        checkpoints: Checkpoints,
        log: Callable[[dict[str, float]], None],
        evaluate: Evaluate | None = None,
        export: Callable[[int], Awaitable[None]] | None = None,
        state: LoopState | None = None,
        history: Sequence[Mapping[str, float]] = (),
        domains: Sequence[str] = (),
    ) -> None:
        """
        Args:
            log: receives the metrics of each step, in order.
            evaluate: the figures of a version; None: nothing is evaluated.
            export: makes a model folder of the learner, which holds that version (``checkpoint.export_every``).
            history: what was logged up to ``state``.
            domains: of the prompts, for figures of each.
        """
        self._config, self._roles, self._prompts = config, roles, prompts
        self._checkpoints, self._log, self._evaluate = checkpoints, log, evaluate
        self._export = export
        self.ledger = Ledger(state.ledger if state else None)
        self.version = state.version if state else 0
        self._history, self._domains = list(history), domains
        was_last = bool(state) and has_plateaued(self._history, config.stop, step=self.version - 1)
        self.last = self.version if was_last else config.steps
        """The version with which training ends, as far as it is known."""
        self._updates = state.updates if state else 0
        self._reissue = list(self.ledger.in_flight)
        self._slots = asyncio.Semaphore((config.algo.max_staleness + 1) * config.algo.prompts_per_step)
        self._tasks: dict[str, tuple[GroupRequest, asyncio.Task[None]]] = {}  # of every group under way or ready
        self._ready: dict[str, FinishedGroup[C]] = {}
        self._started_at: dict[str, int] = {}  # occurrence -> version its generation began under
        self._ended: list[tuple[GroupRecord, Sequence[C]]] = []  # dropped groups, until they are recorded
        self._arrived = asyncio.Event()
        self._engine_lost = False
        self._drops_in_a_row = 0
        self._clock = IdleClock()
        self._record: dict[str, float] = {}
        self._evaluation: asyncio.Task[dict[str, float]] | None = None
        self._evaluated: tuple[int, Mapping[str, float]] = (-1, {})  # version, its held-out figures
        self._saving: asyncio.Task[None] | None = None
        self._is_stopping = False

    def stop(self) -> None:
        """End after the step that is being made, or at once where none is, with a checkpoint; ``run`` raises
        Terminated."""
        self._is_stopping = True
        self._arrived.set()

    async def run(self) -> None:
        """Every step to the last. Whatever fails in any part ends all of it."""
        published = await self._publish(self.version, held_out=self.version == 0)
        try:
            async with asyncio.TaskGroup() as tasks:
                if self.version == 0:
                    self._begin_record(publish_metrics(published), tasks, is_evaluated=True)
                    await self._finish_record()
                self._clock.idle_s()  # what came before the first step is not its idle time
                generating = tasks.create_task(self._generate(tasks))
                await self._learn(tasks)
                generating.cancel()
        except BaseExceptionGroup as group:
            raise first_of(group) from group
        await self._roles.recorder.flush()

    # ------------------------------------------------------------------ generation

    async def _generate(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            await self._slots.acquire()
            if self.ledger.trained + len(self._started_at) >= self.last * self._config.algo.prompts_per_step:
                continue  # all that the last step needs is on its way; a group that is dropped frees another slot
            request = self._next_request()
            self._started_at[request.occurrence] = self.version
            self._tasks[request.occurrence] = request, tasks.create_task(self._roll(request))

    def _next_request(self) -> GroupRequest:
        algo = self._config.algo
        if self._reissue:
            occurrence = self._reissue.pop(0)
            prompt = self._prompts.at(position_of(occurrence))
        else:
            position, prompt = self._prompts.take()
            occurrence = occurrence_of(position)
            self.ledger.issue(occurrence)
        return GroupRequest(
            occurrence=occurrence,
            prompt=prompt,
            num_completions=algo.group_size,
            sampling=Sampling(algo.temperature, 1.0, algo.max_completion_tokens),
            seed=zlib.crc32(f"{self._config.seed}/{occurrence}".encode()) * algo.group_size,
        )

    async def _roll(self, request: GroupRequest) -> None:
        def begin(attempt: int) -> None:
            self._started_at[request.occurrence] = self.version
            self._note_loss(attempt)

        with self._clock.busy():
            try:
                generation = run_group(self._roles.rollout, self._roles.scorer, request, on_start=begin)
                group = await self._wait_for(generation, "generate_s", f"group {request.occurrence}")
            except EngineLost:
                self._engine_lost = True
                self._drop(request, "engine_lost", None)
                return
            except GroupFailed as error:
                self._drop(request, error.reason, None)
                return
        outcomes = [verdict.outcome for verdict in group.all_verdicts]
        if any(isinstance(outcome, Unscorable) for outcome in outcomes):
            self._drop(request, "unscorable", group)
        elif sum(isinstance(outcome, Scored) for outcome in outcomes) < 2:
            self._drop(request, "unscored", group)
        elif self._config.algo.drop_uniform and is_uniform(self._rewards(self._weighed(group).all_verdicts)):
            self._drop(request, "uniform", group)
        else:
            self._drops_in_a_row = 0
            self._ready[request.occurrence] = group
            self._arrived.set()

    def _drop(self, request: GroupRequest, reason: str, group: FinishedGroup[C] | None) -> None:
        self._leave(request, reason, group)
        self._slots.release()
        self._arrived.set()
        self._drops_in_a_row += 1
        if self._drops_in_a_row > max(MAX_DROPS_IN_A_ROW, 4 * self._config.algo.prompts_per_step):
            raise R1RayError(
                f"{self._drops_in_a_row} groups in a row were dropped, the last one because of {reason}; all drops of "
                f"the run: {dict(self.ledger.dropped)}"
            )

    def _leave(self, request: GroupRequest, reason: str, group: FinishedGroup[C] | None) -> None:
        """Book and record a group that is not trained on."""
        self.ledger.drop(request.occurrence, reason)
        del self._started_at[request.occurrence], self._tasks[request.occurrence]
        verdicts = group.all_verdicts if group else ()
        record = GroupRecord(request.occurrence, request.prompt, verdicts, (None,) * len(verdicts), f"dropped:{reason}")
        self._ended.append((record, group.chunks if group else ()))

    # ------------------------------------------------------------------ learning

    async def _learn(self, tasks: asyncio.TaskGroup) -> None:
        state: LoopState | None = None  # after the last step that was made here
        while self.version < self.last:
            start = time.monotonic()
            batch = await self._wait_for(self._next_batch(), "generate_s", f"groups of version {self.version}")
            if self._is_stopping:
                raise await self._ended_early(state, tasks)
            await self._finish_record()  # an evaluation still running is of the weights that are about to change
            self._end_on_plateau(batch)
            batch = [self._weighed(group) for group in batch]
            got_batch = time.monotonic()
            shards, records = self._plan(batch)  # A_i
            chunks = [chunk for group in batch for chunk in group.chunks]
            training = self._roles.learner.train(shards, chunks)  # one pass over the minibatches on -J
            try:
                stats = await self._wait_for(training, "learn_s", "the learner group")
            except NonFiniteLoss as error:
                raise await self._set_aside(error, batch, records) from error
            learned = time.monotonic()
            self._settle(batch)
            await self._refresh_reference(len(shards[0].minibatches))  # pi_ref <- pi_theta, now and then
            is_evaluated = await self._is_evaluated(self.version + 1)
            dtypes = self._config.rollout.dtype, self._config.learner.dtype
            doubted = is_suspicious(stats.metrics, self._history, *dtypes)
            # pi_old <- pi_theta
            published = await self._publish(self.version + 1, held_out=is_evaluated, probe=doubted)
            trained_on, self.version = self.version, self.version + 1
            ended, self._ended = self._ended, []
            state = LoopState(self.version, self._updates, self._prompts.position, self.ledger.state())
            await self._roles.recorder.record(
                self.version, [*zip(records, (group.chunks for group in batch), strict=True), *ended]
            )
            step_s = time.monotonic() - start
            self._begin_record(
                {
                    **batch_metrics(batch, trained_on, domains=self._domains),
                    **stats.metrics,
                    **publish_metrics(published),
                    **throughput_metrics(batch, stats, step_s),
                    **self.ledger.metrics(),
                    **({"stop/plateau": 1.0} if self.version == self.last < self._config.steps else {}),
                    "time/step_s": step_s,
                    "time/learn_s": learned - got_batch,
                    "time/idle_learner_s": got_batch - start,
                    "time/idle_rollout_s": self._clock.idle_s(),
                },
                tasks,
                is_evaluated=is_evaluated,
            )
            for _ in batch:
                self._slots.release()
            every = self._config.checkpoint.export_every
            if self._export is not None and every and self.version % every == 0 and self.version != self.last:
                await self._export(self.version)  # before the checkpoint, so that a resumed run finds it made
            if self._is_checkpointed:
                await self._save_checkpoint(state, tasks)
        await self._finish_record()

    def _end_on_plateau(self, batch: Sequence[FinishedGroup[C]]) -> None:
        """Make the step that comes the last one where ``stop`` says so. Groups beside its batch are dropped."""
        stop = self._config.stop
        if self.version + 1 >= self.last or not has_plateaued(self._history, stop, step=self.version):
            return
        self.last = self.version + 1
        logger.info(
            f"stage rl: training ends with step {self.last}: the mean of {stop.metric} over the last {stop.window} "
            f"figures is not {stop.min_gain:g} above that of the {stop.window} before (stop.patience={stop.patience})"
        )
        chosen = {group.request.occurrence for group in batch}
        for name, (request, task) in list(self._tasks.items()):
            if name not in chosen:
                task.cancel()
                self._leave(request, "stopped", self._ready.pop(name, None))

    async def _set_aside(
        self, error: NonFiniteLoss, batch: Sequence[FinishedGroup[C]], records: Sequence[GroupRecord]
    ) -> R1RayError:
        """Write the groups whose loss is not finite, for people to look at; returns what to raise."""
        bad = [
            (replace(record, fate="not_finite"), group.chunks)
            for group, record in zip(batch, records, strict=True)
            if record.occurrence in error.occurrences
        ]
        path = await self._roles.recorder.set_aside(self.version + 1, bad)
        return R1RayError(
            f"the loss of step {self.version + 1} is not finite for groups {', '.join(error.occurrences)}, which are "
            f"in {path}; the parameters are as the last step left them. Look at their rewards and log-probabilities; "
            "a lower learner.lr, or going on from an earlier checkpoint, is the usual way out"
        )

    def _settle(self, batch: Sequence[FinishedGroup[C]]) -> None:
        self.ledger.train(group.request.occurrence for group in batch)
        for group in batch:
            name = group.request.occurrence
            del self._ready[name], self._started_at[name], self._tasks[name]
        self.ledger.check()

    async def _next_batch(self) -> list[FinishedGroup[C]]:
        """``prompts_per_step`` ready groups, chosen so that none is ever too old; none where the run is to end."""
        size, max_staleness = self._config.algo.prompts_per_step, self._config.algo.max_staleness
        while not self._is_stopping:
            self._arrived.clear()
            await self._restore_engines()
            for group in [g for g in self._ready.values() if oldest_version(g) < self.version - max_staleness]:
                del self._ready[group.request.occurrence]
                self._drop(group.request, "stale", group)
            batch = choose_batch(
                list(self._ready), self._started_at, version=self.version, max_staleness=max_staleness, size=size
            )
            if batch is not None:
                return [self._ready[name] for name in sorted(batch, key=_place)]
            await self._arrived.wait()
        return []

    def _plan(self, batch: Sequence[FinishedGroup[C]]) -> tuple[tuple[Shard, ...], list[GroupRecord]]:
        """Advantages, and every rank's share of the step; the order in which completions finished decides neither."""
        algo = self._config.algo
        rows = [_rows(group) for group in batch]
        rewards = [self._rewards([verdict for _, _, verdict in rows_G]) for rows_G in rows]  # r_i
        lengths = [  # tokens in the loss
            [0 if algo.mask_truncated and verdict.truncated else verdict.num_tokens for _, _, verdict in rows_G]
            for rows_G in rows
        ]
        advantages = step_advantages(  # A_i
            rewards,
            lengths,
            baseline=algo.advantage_baseline,
            std=algo.advantage_std,
            epsilon=algo.advantage_epsilon,
            epsilon_in=algo.advantage_epsilon_in,
        )
        picks: list[Pick] = []
        num_completion_tokens: list[int] = []
        records: list[GroupRecord] = []
        first_chunk = 0
        for group, rows_G, advantages_G, lengths_G in zip(batch, rows, advantages, lengths, strict=True):
            trained: dict[int, float | None] = {}
            for (chunk, row, verdict), advantage, length in zip(rows_G, advantages_G, lengths_G, strict=True):
                if advantage is not None and (length or algo.count_masked):
                    picks.append(Pick(first_chunk + chunk, row, advantage, verdict.num_prompt_tokens + length))
                    num_completion_tokens.append(length)
                trained[verdict.index] = advantage if length else None
            first_chunk += len(group.chunks)
            request, verdicts = group.request, group.all_verdicts
            by_verdict = tuple(trained[verdict.index] for verdict in verdicts)
            records.append(GroupRecord(request.occurrence, request.prompt, verdicts, by_verdict, "trained"))
        shards = plan_shards(
            picks,
            num_completion_tokens,
            num_minibatches=algo.minibatches_per_step,
            num_ranks=self._config.learner.num_shards,
            max_tokens_per_microbatch=self._config.learner.max_tokens_per_microbatch,
            learner_version=self.version,
            seed=self._config.seed * 1_000_003 + self.version,
        )
        return shards, records

    def _weighed(self, group: FinishedGroup[C]) -> FinishedGroup[C]:
        """The group with the rewards that it has in the step that comes: of the parts that count by then. The scorer
        knows of no steps."""
        config = self._config.reward
        weights = config.weights_at(self.version + 1)
        if len(weights) == len(config.parts):
            return group
        gate = config.gate if config.combine == "gated" and config.gate in weights else None

        def weigh(verdict: Verdict) -> Verdict:
            if not isinstance(verdict.outcome, Scored):
                return verdict
            total = total_reward(verdict.outcome.parts, weights, gate=gate)
            return replace(verdict, outcome=replace(verdict.outcome, total=total))

        return replace(group, verdicts=tuple(tuple(map(weigh, verdicts)) for verdicts in group.verdicts))

    def _rewards(self, verdicts: Sequence[Verdict]) -> list[float | None]:
        outcomes = [v.outcome if isinstance(v.outcome, Scored) else None for v in verdicts]
        config = self._config.reward
        if config.combine != "normalised":
            return [None if outcome is None else outcome.total for outcome in outcomes]
        weights = config.weights_at(self.version + 1)
        parts = [None if outcome is None else outcome.parts for outcome in outcomes]
        return normalised_rewards(parts, weights, epsilon=self._config.algo.advantage_epsilon)

    async def _refresh_reference(self, new_updates: int) -> None:
        every, before = self._config.algo.reference_refresh_updates, self._updates
        self._updates += new_updates
        if every and self._updates // every > before // every:
            await self._wait_for(self._roles.learner.refresh_reference(), "learn_s", "the reference refresh")

    # ------------------------------------------------------------------ between steps

    async def _publish(self, version: int, *, held_out: bool = False, probe: bool = False) -> PublishStats:
        # The publish has its own deadlines; this one is for a publish that does not keep them. It may send three
        # times, and start an engine in the place of a lost one.
        deadlines = self._config.deadlines.decided
        return await within(
            3 * deadlines.publish_s + 2 * deadlines.start_s,
            self._roles.weights.publish(version, held_out=held_out, probe=probe),
            waiter="the controller",
            owner=f"the publish of version {version}",
            key="deadlines.publish_s",
        )

    async def _is_evaluated(self, version: int) -> bool:
        """Whether a version is due, and what evaluates is free. It is for the last one."""
        config = self._config.eval
        is_last = version == self.last
        if self._evaluate is None or not (is_last or (config.every and version % config.every == 0)):
            return False
        is_busy = self._evaluation is not None and not self._evaluation.done()
        if config.num_actors and is_busy and is_last:
            assert self._evaluation is not None
            await asyncio.wait({self._evaluation})
        return not (config.num_actors and is_busy) or is_last

    def _begin_record(self, metrics: dict[str, float], tasks: asyncio.TaskGroup, *, is_evaluated: bool) -> None:
        """The step's line of metrics.jsonl. Where the rollout engines evaluate it, the line waits for that; generation
        does not. The figures of engines of their own come in a line of theirs."""
        self._record = {"step": float(self.version), "policy_version": float(self.version), **metrics}
        if is_evaluated and self._evaluate is not None:
            if self._config.eval.num_actors:
                self._evaluation = tasks.create_task(self._evaluate_apart(self._evaluate, self.version))
            else:
                self._evaluation = tasks.create_task(self._figures(self._evaluate, self.version, self._note_loss))
            self._evaluation.add_done_callback(lambda task: self._arrived.set())

    async def _finish_record(self) -> None:
        """Log the line. Called while the learner holds the live version, so that lost engines can be restored."""
        if self._evaluation is not None and not self._config.eval.num_actors:
            start = time.monotonic()
            while not self._evaluation.done():
                self._arrived.clear()
                await self._restore_engines()
                await self._arrived.wait()
            self._record |= self._evaluation.result() | {"time/eval_wait_s": time.monotonic() - start}
            self._evaluation = None
        if self._record:
            self._log(self._record)
            self._history.append(self._record)
            self._record = {}

    async def _figures(self, evaluate: Evaluate, version: int, on_start: Callable[[int], None]) -> dict[str, float]:
        best = self._config.checkpoint.best
        result = await self._wait_for(evaluate(version, on_start), "generate_s", f"evaluation of version {version}")
        if best is not None and best not in result.metrics:
            names = ", ".join(result.metrics)
            raise UserError(f"checkpoint.best={best}: the evaluation has no such figure; needs one of {names}.")
        self._evaluated = version, result.metrics
        figures = {f"eval/{result.benchmark}/{name}": value for name, value in result.metrics.items()}
        stop = self._config.stop
        if stop.window and stop.metric.startswith("eval/") and stop.metric not in figures:
            raise UserError(f"stop.metric={stop.metric}: no such figure; needs one of {', '.join(figures)}.")
        return figures

    async def _evaluate_apart(self, evaluate: Evaluate, version: int) -> dict[str, float]:
        """On engines of its own, while training goes on. One that is lost takes the version with it: the learner, which
        could give it to another, is ahead by now. It is replaced when the next version is due."""

        def abandon(attempt: int) -> None:
            if attempt > 1:
                raise EngineLost(f"an evaluation engine was lost while it held version {version}")

        try:
            figures = await self._figures(evaluate, version, abandon)
        except EngineLost:
            figures = {"held_out/abandoned": 1.0}
        self._log({"step": float(version), "policy_version": float(version), **figures})
        return figures

    def _note_loss(self, attempt: int) -> None:
        """A second attempt at a group means that its engine was lost."""
        if attempt > 1:
            self._engine_lost = True
            self._arrived.set()

    async def _restore_engines(self) -> None:
        """Replace lost engines and give them the live version, where any was lost. The learner must be idle and hold
        that version."""
        if self._engine_lost:
            self._engine_lost = False
            await self._publish(self.version)

    @property
    def _is_checkpointed(self) -> bool:
        every = self._config.checkpoint.every
        return bool(every) and (self.version % every == 0 or self.version == self.last)

    async def _ended_early(self, state: LoopState | None, tasks: asyncio.TaskGroup) -> Terminated:
        """Write a checkpoint of the last step, where it has none; returns what to raise."""
        if state is not None and self._config.checkpoint.every and not self._is_checkpointed:
            await self._save_checkpoint(state, tasks)
        if self._saving is not None:
            await self._saving
        return Terminated.after(self.version, has_checkpoint=bool(self._config.checkpoint.every))

    async def _save_checkpoint(self, state: LoopState, tasks: asyncio.TaskGroup) -> None:
        config = self._config.checkpoint
        await self._finish_record()  # what a resumed run takes as done has to be on disk
        await self._roles.recorder.flush()
        if self._saving is not None:
            await self._saving  # one at a time
        aside = self._checkpoints.begin(self.version)
        saving = self._roles.learner.save(aside / "learner", asynchronous=config.asynchronous)
        await self._wait_for(saving, "checkpoint_s", "the learner's checkpoint")
        version, figures = self._evaluated
        commit = self._commit(aside, state, figures if version == state.version else {})
        if config.asynchronous:
            self._saving = tasks.create_task(commit)
        else:
            await commit

    async def _commit(self, aside: Path, state: LoopState, figures: Mapping[str, float]) -> None:
        if self._config.checkpoint.asynchronous:
            deadlines = self._config.deadlines.decided
            await within(
                deadlines.checkpoint_s + deadlines.learn_s,  # a rank that trains answers when its step is done
                self._written(),
                waiter="the controller",
                owner=f"the learner group to write checkpoint {state.version}",
                key="deadlines.checkpoint_s",
            )
        # In a thread: it reads and removes files.
        await asyncio.to_thread(self._checkpoints.commit, aside, state, figures=figures)

    async def _written(self) -> None:
        while not await self._roles.learner.written():
            await asyncio.sleep(POLL_S)

    async def _wait_for(self, awaitable: Awaitable[T], deadline: str, owner: str) -> T:
        seconds = getattr(self._config.deadlines.decided, deadline)
        return await within(seconds, awaitable, waiter="the controller", owner=owner, key=f"deadlines.{deadline}")


def _place(occurrence: str) -> tuple[int, int]:
    """Where an occurrence stands in the data."""
    position = position_of(occurrence)
    return position.epoch, position.index


def _rows(group: FinishedGroup[C]) -> list[tuple[int, int, Verdict]]:
    """Chunk, row in it, and verdict of every completion, in the order of their indices."""
    rows = [(chunk, row, v) for chunk, verdicts in enumerate(group.verdicts) for row, v in enumerate(verdicts)]
    return sorted(rows, key=lambda place: place[2].index)
