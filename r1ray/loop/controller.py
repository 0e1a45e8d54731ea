"""Controller: the order of a step (paper section 2.2.1: Group Relative Policy Optimization).

    prompts --> issue --> generate, score --> ready --> advantage --> update --> publish --> slots --> issue
                  |          |  GroupRunner                |  Learner     |  WeightSync
                  `-- ledger.issue        ledger.train  ---'              `-- version + 1

``_generate``   consumes slots and prompts, produces a task for each group. Waits for a free slot.
``_step``       consumes ``prompts_per_step`` ready groups, produces one policy version. Waits for groups, the learner,
                the publish; frees the slots of the groups it trained on.

Both run at the same time: generation is at most ``max_staleness`` versions ahead, and 0 is exactly on-policy. Slots
and the choice of groups are the buffer's (:mod:`r1ray.loop.buffer`), advantages the batch's (:mod:`r1ray.loop.batch`).
The groups themselves are run by group workers (:mod:`r1ray.rollout.group_worker`), which keep the tokens; the driver
sees facts alone. Training ends with version ``last``; ``stop`` ends it between two steps, with a checkpoint to go on
from.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from r1ray.config import RunConfig
from r1ray.errors import GroupLost, NonFiniteLoss, first_of
from r1ray.loop.batch import Batch, StepPart, make_batch, parts_of_step
from r1ray.loop.buffer import Buffer
from r1ray.loop.checkpoint import Checkpoints, LoopState
from r1ray.loop.ledger import Ledger
from r1ray.loop.roles import Evaluate, PromptSource, Roles
from r1ray.loop.upkeep.account import Account
from r1ray.loop.upkeep.metrics import publish_metrics
from r1ray.loop.upkeep.not_finite import set_aside
from r1ray.loop.upkeep.parity import is_suspicious
from r1ray.loop.upkeep.progress import Progress
from r1ray.loop.upkeep.reporting import Report
from r1ray.loop.upkeep.saving import Saver
from r1ray.loop.upkeep.waiting import Engines, Waiter
from r1ray.types import Prompt, PublishStats, ScoredGroup, StepStats


class Controller:
    """Runs the loop from a :class:`~r1ray.loop.checkpoint.LoopState`, or from the start, to the last step."""

    def __init__(
        self,
        config: RunConfig,
        roles: Roles,
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
            evaluate: returns the metrics of a version; None: nothing is evaluated.
            export: makes a model folder of the learner, which holds that version (``checkpoint.export_every``).
            history: what was logged up to ``state``.
            domains: of the prompts, for metrics of each.
        """
        self._config, self._roles, self._prompts = config, roles, prompts
        self.ledger = Ledger(state.ledger if state else None)
        self._progress = Progress(config.steps, config.stop, state=state, history=history)
        self._waiter = Waiter(config.deadlines.decided)
        self._engines = Engines(roles.weights, self._progress, self._waiter)
        self._buffer = Buffer(
            roles.groups,
            prompts,
            algo=config.algo,
            reward=config.reward,
            seed=config.seed,
            ledger=self.ledger,
            progress=self._progress,
            engines=self._engines,
            waiter=self._waiter,
        )
        self._account = Account(
            roles.groups,
            algo=config.algo,
            ledger=self.ledger,
            progress=self._progress,
            removals=self._buffer.removals,
            errors=self._buffer.errors,
            domains=domains,
        )
        self._report = Report(
            log,
            evaluate,
            evaluation=config.eval,
            checkpoint=config.checkpoint,
            stop=config.stop,
            progress=self._progress,
            weights=roles.weights,
            engines=self._engines,
            waiter=self._waiter,
        )
        self._saver = Saver(
            config.checkpoint,
            roles.learner,
            roles.recorder,
            checkpoints,
            export,
            progress=self._progress,
            report=self._report,
            waiter=self._waiter,
        )

    @property
    def version(self) -> int:
        """The policy version that is live."""
        return self._progress.version

    @property
    def last(self) -> int:
        """The version with which training ends, as far as it is known."""
        return self._progress.last

    def stop(self) -> None:
        """End after the step that is being made, or at once if none is, with a checkpoint; ``run`` raises
        Terminated."""
        self._buffer.close()

    async def run(self) -> None:
        """Make every step to the last. Whatever fails in any part ends all of it."""
        published = await self._engines.publish(self.version, eval_engines=self.version == 0)  # pi_old <- pi_theta
        try:
            async with asyncio.TaskGroup() as tasks:
                if self.version == 0:
                    self._report.begin(publish_metrics(published), tasks, is_evaluated=True)
                    await self._report.finish()
                self._buffer.begin(tasks)
                generating = tasks.create_task(self._generate())
                await self._account.begin()
                while not self._progress.is_done:
                    await self._step(tasks)
                await self._report.finish()
                generating.cancel()
        except BaseExceptionGroup as group:
            raise first_of(group) from group
        await self._roles.recorder.flush()

    async def _generate(self) -> None:
        """Issue groups for as long as slots become free."""
        while True:
            request = await self._buffer.issue()  # q ~ P(Q)
            self._buffer.run(request)  # o_1 .. o_G ~ pi_old(. | q), and r_i

    async def _step(self, tasks: asyncio.TaskGroup) -> None:
        """Take the policy one version further."""
        batches: list[Batch] = []
        for part in parts_of_step(self._config.algo):
            batch, stats = await self._learn(part, tasks)
            batches.append(batch)
        await self._refresh_reference(sum(batch.num_updates for batch in batches))  # pi_ref <- pi_theta, now and then
        is_evaluated = await self._report.will_evaluate(self.version + 1)
        published = await self._publish(stats, eval_engines=is_evaluated)  # pi_old <- pi_theta
        state = LoopState(self.version, self._progress.updates, self._prompts.position, self.ledger.state())
        trained, dropped = [each for batch in batches for each in batch.records], self._buffer.take_dropped()
        await self._roles.recorder.record(self.version, [*trained, *dropped])
        metrics = await self._account.close(trained, dropped, stats, published)
        self._report.begin(metrics, tasks, is_evaluated=is_evaluated)
        self._buffer.release(len(trained))
        await self._saver.keep(state, tasks)
        self._account.lap("save")

    async def _learn(self, part: StepPart, tasks: asyncio.TaskGroup) -> tuple[Batch, StepStats]:
        """Train on groups as soon as they are there: those of a step, or of a minibatch."""
        while True:
            groups, prompts = await self._take(part, tasks)  # o_i and r_i of every q
            batch = make_batch(groups, prompts, part, self._config, version=self.version)  # A_i
            try:
                stats = await self._update(batch, has_more=not part.is_last)  # pi_theta: minibatches on -J
            except GroupLost as error:
                self._buffer.lose(error.group_ids)
                continue
            self._buffer.settle(groups)
            self._account.lap("learn")
            return batch, stats

    async def _take(self, part: StepPart, tasks: asyncio.TaskGroup) -> tuple[list[ScoredGroup], list[Prompt]]:
        """Wait for groups, while the learner still holds the live version."""
        groups, prompts = await self._buffer.take(part)
        if not groups:
            raise self._buffer.errors.instead_of(await self._saver.end_early(tasks))
        self._account.lap("idle_learner")
        await self._report.finish()  # an evaluation still running is of the weights that are about to change
        self._account.lap("eval_wait")
        if part.is_last:
            self._progress.ends_on_plateau()
            await self._buffer.leave_behind(groups, all_others=self.version + 1 == self.last)
        return groups, prompts

    async def _update(self, batch: Batch, *, has_more: bool) -> StepStats:
        training = self._roles.learner.train(batch.shards, batch.groups, has_more=has_more)
        try:
            return await self._waiter.wait_for(training, "learn_s", "the learner group")
        except NonFiniteLoss as error:
            raise await set_aside(error, batch, self._roles.recorder, step=self.version + 1) from error

    async def _refresh_reference(self, num_updates: int) -> None:
        every, before = self._config.algo.reference_refresh_updates, self._progress.updates
        self._progress.updates += num_updates
        if every and self._progress.updates // every > before // every:
            refreshing = self._roles.learner.refresh_reference()
            await self._waiter.wait_for(refreshing, "learn_s", "the reference refresh")

    async def _publish(self, stats: StepStats, *, eval_engines: bool) -> PublishStats:
        """Give the engines the new version. Fresh tokens of the step that look odd have it probed."""
        dtypes = self._config.rollout.dtype, self._config.learner.dtype
        is_odd = is_suspicious(stats.metrics, self._progress.history, *dtypes)
        published = await self._engines.publish(self.version + 1, eval_engines=eval_engines, probe=is_odd)
        self._progress.version += 1
        self._account.lap("publish")
        return published
