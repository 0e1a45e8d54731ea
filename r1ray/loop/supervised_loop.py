"""The supervised loop: given rows instead of sampled groups (paper sections 2.3.1, 2.3.3, 2.3.4 and 2.4).

    cursor --rows--> plan --shards, chunk--> Learner.train --> metrics, checkpoint
                                             Learner.evaluate (held-out rows, at intervals)

A lost learner is restarted from the last checkpoint (:mod:`r1ray.loop.upkeep.recovery`). One step is one optimizer
update on ``sequences_per_step`` rows. Only the learner knows whether a row is an example or a pair; to the loop it has
a length and a number of terms. The sequences of a row always share a micro-batch.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeVar

from r1ray.algo.batching import plan_shards
from r1ray.config import RunConfig
from r1ray.data.position import Position
from r1ray.data.sft_rows import EpochCursor, Rows
from r1ray.errors import NonFiniteLoss, R1RayError, Terminated
from r1ray.loop.checkpoint import Checkpoints, LoopState
from r1ray.loop.ledger import Ledger
from r1ray.loop.roles import RestartableLearner
from r1ray.loop.upkeep.disk import Disk
from r1ray.loop.upkeep.due import Due
from r1ray.loop.upkeep.faults import Faults
from r1ray.loop.upkeep.recovery import Recovery
from r1ray.loop.upkeep.waiting import Waiter
from r1ray.types import SampleRef, Shard, StepStats


class Row(Protocol):
    """Properties of an example or a pair that the loop needs: see :mod:`r1ray.data.sft_examples`."""

    @property
    def num_tokens(self) -> int: ...

    @property
    def num_terms(self) -> int: ...


R = TypeVar("R", bound=Row)


class SupervisedLearner(RestartableLearner, Protocol):
    """A learner of examples or pairs. It ignores the advantages of a shard's samples, whose names are those of rows."""

    async def train_rows(self, shards: Sequence[Shard], rows: Mapping[str, object]) -> StepStats:
        """Do one optimizer update for every minibatch of the shards. ``rows`` holds the rows that the shards name."""
        ...

    async def evaluate_rows(self, shards: Sequence[Shard], rows: Mapping[str, object]) -> StepStats:
        """Run only the forward pass. The metrics have bare names (``loss``, ``accuracy``, ...), each a mean over the
        terms (tokens or pairs) of all shards."""
        ...


@dataclass(frozen=True, slots=True)
class HeldOut(Generic[R]):
    """Rows on which a run is evaluated; ``name`` is part of the metrics' names: ``eval/<name>/loss``."""

    name: str
    rows: Rows[R]


def num_steps(num_rows: int, *, epochs: int, sequences_per_step: int) -> int:
    """Return the number of optimizer updates of a run: every row ``epochs`` times, the rest in the last step.

    >>> num_steps(10, epochs=2, sequences_per_step=8)
    3
    """
    return math.ceil(num_rows * epochs / sequences_per_step)


def loop_state(step: int, position: Position) -> LoopState:
    """Return the state of a supervised run, which is only its position. Nothing is ever in flight, so its ledger is
    empty."""
    return LoopState(step, step, step, position, Ledger().state())


def plan_step(
    rows: Sequence[Row], *, num_ranks: int, max_tokens_per_microbatch: int, step: int, seed: int
) -> tuple[Shard, ...]:
    """Return one minibatch of all rows, each named by its index among them. A row is one sample, whatever it consists
    of; the denominators count its terms."""
    return plan_shards(
        [[SampleRef(str(index), 1.0, row.num_tokens) for index, row in enumerate(rows)]],
        [[row.num_terms for row in rows]],
        num_minibatches=1,
        num_ranks=num_ranks,
        max_tokens_per_microbatch=max_tokens_per_microbatch,
        learner_version=step,
        seed=seed,
    )


class SupervisedLoop(Generic[R]):
    """Trains from a :class:`~r1ray.loop.checkpoint.LoopState`, or from the start, to the end of the last epoch."""

    def __init__(
        self,
        config: RunConfig,
        learner: SupervisedLearner,
        rows: Rows[R],
        *,
        checkpoints: Checkpoints,
        log: Callable[[dict[str, float]], None],
        held_out: HeldOut[R] | None = None,
        export: Callable[[int], Awaitable[None]] | None = None,
        begin: Callable[[], Awaitable[None]] | None = None,
        finish: Callable[[], Awaitable[None]] | None = None,
        forget: Callable[[int], None] = lambda step: None,
        state: LoopState | None = None,
    ) -> None:
        """
        Args:
            log: receives the metrics of each step, in order; those of step 0 are the held-out ones before training.
            export: writes a model folder of the learner after a step (``checkpoint.export_every``).
            begin: has the learner load ``state``.
            finish: does the learner's remaining work after the last step.
            forget: removes logs and exports of later steps, which are made again.
        """
        self._config, self._learner, self._rows, self._held_out = config, learner, rows, held_out
        self._checkpoints, self._log, self._export = checkpoints, log, export
        self._begin, self._finish, self._forget = begin, finish, forget
        settings = config.supervised
        self.num_steps = num_steps(len(rows), epochs=settings.epochs, sequences_per_step=settings.sequences_per_step)
        self._take_up(state)
        self._is_begun = bool(self.step)
        self._is_stopping = False
        self._faults, self._waiter = Faults(), Waiter(config.deadlines.decided, name="the supervised loop")
        self._due = Due(config.checkpoint)
        self._disk = Disk(config.checkpoint, checkpoints, wait_s=config.deadlines.decided.checkpoint_s)
        self._recovery = Recovery(
            config.learner,
            learner,
            checkpoints,
            faults=self._faults,
            waiter=self._waiter,
            step=lambda: self.step,
            is_stopping=lambda: self._is_stopping,
            go_back=self._go_back,
        )

    def _take_up(self, state: LoopState | None) -> None:
        self.step = state.step if state else 0
        position = state.position if state else Position()
        epochs = self._config.supervised.epochs
        self._cursor = EpochCursor(self._rows, seed=self._config.seed, epochs=epochs, position=position)

    async def _go_back(self, state: LoopState | None) -> None:
        self._take_up(state)
        self._forget(self.step)

    def stop(self) -> None:
        """End after the step in progress, with a checkpoint; ``run`` then raises Terminated."""
        self._is_stopping = True

    async def run(self) -> None:
        """Make every step to the last. A lost learner is restarted."""
        await self._recovery.run(self._make_steps, begin=self._begin)

    async def _make_steps(self) -> None:
        """Make the remaining steps, from the learner's state: the start or a checkpoint."""
        if not self._is_begun and self._held_out is not None:
            self._log({"step": 0.0, "epoch": 0.0, **await self._evaluate(self._held_out)})
        self._is_begun = True
        while self.step < self.num_steps:
            start = time.monotonic()
            rows = self._cursor.take(self._config.supervised.sequences_per_step)
            stats = await self._train(rows)
            learned = time.monotonic()
            self.step += 1
            metrics = await self._evaluate(self._held_out) if self._held_out and self._is_evaluated else {}
            self._log(
                {
                    "step": float(self.step),
                    "epoch": self._cursor.epochs_done,
                    **stats.metrics,
                    "throughput/samples_per_s": len(rows) / (learned - start),
                    "throughput/trained_tokens_per_s": stats.trained_tokens / (learned - start),
                    "learner/padding_share": stats.padding_tokens / max(1, stats.padding_tokens + stats.trained_tokens),
                    **metrics,
                    **self._faults.metrics(),
                    "time/step_s": time.monotonic() - start,
                    "time/learn_s": learned - start,
                }
            )
            every = self._config.checkpoint.export_every
            if self._export is not None and every and self.step % every == 0 and self.step != self.num_steps:
                # Before the checkpoint, so that a resumed run finds it made.
                await self._disk.written(partial(self._export, self.step), f"the export of step {self.step}")
            is_early = self._is_stopping and self.step < self.num_steps
            await self._keep(is_early=is_early)
            if is_early:
                raise Terminated.after(self.step, has_checkpoint=True)
        if self._finish is not None:
            await self._finish()

    @property
    def _is_evaluated(self) -> bool:
        every = self._config.supervised.eval_every
        return self.step == self.num_steps or bool(every and self.step % every == 0)

    def _plan(self, rows: Sequence[R]) -> tuple[Shard, ...]:
        learner = self._config.learner
        return plan_step(
            rows,
            num_ranks=learner.num_shards,
            max_tokens_per_microbatch=learner.max_tokens_per_microbatch,
            step=self.step,
            seed=self._config.seed * 1_000_003 + self.step,
        )

    async def _train(self, rows: tuple[R, ...]) -> StepStats:
        try:
            training = self._learner.train_rows(self._plan(rows), _by_name(rows))
            return await self._waiter.wait_for_learner(training, "learn_s", "the learner group")
        except NonFiniteLoss as error:
            raise R1RayError(
                f"the loss of step {self.step + 1} is not finite for the rows {', '.join(error.group_ids)}; the "
                "parameters are as the last step left them. Look at these rows; a lower learner.lr, or going on from "
                "an earlier checkpoint, is the usual way out"
            ) from error

    async def _evaluate(self, held_out: HeldOut[R]) -> dict[str, float]:
        """Return means over the terms of all held-out rows, by the names of metrics.jsonl."""
        start = time.monotonic()
        settings = self._config.supervised
        sums: defaultdict[str, float] = defaultdict(float)
        num_terms = 0
        wanted = range(min(settings.eval_rows, len(held_out.rows)))
        for first in wanted[:: settings.sequences_per_step]:
            rows = tuple(held_out.rows[i] for i in wanted[first : first + settings.sequences_per_step])
            evaluation = self._learner.evaluate_rows(self._plan(rows), _by_name(rows))
            stats = await self._waiter.wait_for_learner(evaluation, "learn_s", "the learner group (held-out rows)")
            terms = sum(row.num_terms for row in rows)
            num_terms += terms
            for name, value in stats.metrics.items():
                sums[name] += value * terms
        metrics = {f"eval/{held_out.name}/{name}": value / max(num_terms, 1) for name, value in sums.items()}
        return {**metrics, "time/eval_s": time.monotonic() - start}

    async def _keep(self, *, is_early: bool) -> None:
        """Save the step if it is due or if the run ends early."""
        if not is_early and not self._due.is_due(self.step, is_last=self.step == self.num_steps):
            return await self._disk.room("the next step")
        self._due.note(self.step)
        await self._disk.written(self._save, f"checkpoint {self.step}", needs=self._disk.checkpoint_bytes())

    async def _save(self) -> None:
        aside = self._checkpoints.begin(self.step)
        saving = self._learner.save(aside / "learner")
        await self._waiter.wait_for_learner(saving, "checkpoint_s", "the learner's checkpoint")
        self._checkpoints.commit(aside, loop_state(self.step, self._cursor.position))


def _by_name(rows: Sequence[R]) -> dict[str, R]:
    """Return rows by the names that their shards use: their indices in the step."""
    return {str(number): row for number, row in enumerate(rows)}
