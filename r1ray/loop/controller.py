"""Controller: the order of a step (paper section 2.2.1: Group Relative Policy Optimization).

    prompts --> issue --> generate, score --> ready --> advantage --> update --> publish --> slots --> issue
                  |          |  GroupRunner                |  Learner     |  WeightSync
                  `-- ledger.issue        ledger.train  ---'              `-- step + 1, version + 1

``_generate``   consumes slots and prompts, produces a task for each group. Waits for a free slot.
``_step``       consumes ``prompts_per_step`` ready groups, produces one policy version. Waits for groups, the learner,
                the publish; frees the slots of the groups it trained on.

Both run at the same time: generation is at most ``max_staleness`` versions ahead, and 0 is exactly on-policy. The
buffer manages slots and chooses groups (:mod:`r1ray.loop.buffer`); the batch computes advantages
(:mod:`r1ray.loop.batch`). Group workers run the groups and keep their tokens (:mod:`r1ray.rollout.group_worker`); the
driver sees only facts. Training ends with step ``last``; ``stop`` ends it between two steps, with a checkpoint to
resume from. If the learner is lost, ``_train`` begins again from the last checkpoint
(:mod:`r1ray.loop.upkeep.recovery`): steps are made again, under new versions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from r1ray.config import RunConfig
from r1ray.errors import GroupLost, NonFiniteLoss, first_of
from r1ray.loop.assembly import assemble
from r1ray.loop.batch import Batch, StepPart, make_batch, parts_of_step
from r1ray.loop.checkpoint import Checkpoints, LoopState
from r1ray.loop.roles import Evaluate, PromptSource, Roles
from r1ray.loop.upkeep.metrics import publish_metrics
from r1ray.loop.upkeep.not_finite import set_aside
from r1ray.loop.upkeep.parity import is_suspicious
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
        begin: Callable[[], Awaitable[None]] | None = None,
        finish: Callable[[], Awaitable[None]] | None = None,
        forget: Callable[[int], None] = lambda step: None,
        state: LoopState | None = None,
        history: Sequence[Mapping[str, float]] = (),
        domains: Sequence[str] = (),
    ) -> None:
        """
        Args:
            log: receives the metrics of each step, in order.
            evaluate: returns the metrics of the version that a step made; None: nothing is evaluated.
            export: writes a model folder of the learner after a step (``checkpoint.export_every``).
            begin: has the learner load ``state``.
            finish: does the learner's remaining work after the last step.
            forget: removes logs and exports of later steps, which are made again.
            history: lines logged up to ``state``.
            domains: domains of the prompts, each of which gets metrics.
        """
        self._config, self._roles, self._prompts = config, roles, prompts
        self._begin, self._finish = begin, finish
        parts = assemble(
            config,
            roles,
            prompts,
            checkpoints=checkpoints,
            log=log,
            evaluate=evaluate,
            export=export,
            forget=forget,
            state=state,
            history=history,
            domains=domains,
        )
        self.ledger, self._progress, self._buffer = parts.ledger, parts.progress, parts.buffer
        self._engines, self._waiter, self._account = parts.engines, parts.waiter, parts.account
        self._report, self._saver, self._recovery = parts.report, parts.saver, parts.recovery

    @property
    def version(self) -> int:
        """The live policy version."""
        return self._progress.version

    @property
    def step(self) -> int:
        """The last step that was made."""
        return self._progress.step

    @property
    def last(self) -> int:
        """The step with which training ends, as far as it is known."""
        return self._progress.last

    def stop(self) -> None:
        """End with a checkpoint after the step in progress, or at once if there is none; ``run`` then raises
        Terminated."""
        self._buffer.close()

    async def run(self) -> None:
        """Make every step to the last. A lost learner is restarted; any other failure ends the whole run."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._buffer.begin(tasks)
                generating = tasks.create_task(self._generate())
                await self._recovery.run(partial(self._train, tasks), begin=self._begin)
                generating.cancel()
        except BaseExceptionGroup as group:
            raise first_of(group) from group
        await self._roles.recorder.flush()

    async def _train(self, tasks: asyncio.TaskGroup) -> None:
        """Make the remaining steps, from the learner's state: the start or a checkpoint."""
        is_begun = self._progress.is_begun
        published = await self._engines.publish(self.version, eval_engines=not is_begun)  # pi_old <- pi_theta
        if not is_begun:
            self._report.begin(publish_metrics(published), tasks, is_evaluated=True)
            await self._report.finish()
        await self._buffer.open()
        await self._account.begin()
        while not self._progress.is_done:
            await self._step(tasks)
        await self._report.finish()
        await self._saver.finish()
        if self._finish is not None:
            await self._finish()

    async def _generate(self) -> None:
        """Issue groups whenever slots become free."""
        while True:
            request = await self._buffer.issue()  # q ~ P(Q)
            self._buffer.run(request)  # o_1 .. o_G ~ pi_old(. | q), and r_i

    async def _step(self, tasks: asyncio.TaskGroup) -> None:
        """Advance the policy by one version."""
        batches: list[Batch] = []
        for part in parts_of_step(self._config.algo):
            batch, stats = await self._learn(part, tasks)
            batches.append(batch)
        await self._refresh_reference(sum(batch.num_updates for batch in batches))  # pi_ref <- pi_theta, at intervals
        is_evaluated = await self._report.will_evaluate(self.step + 1)
        published = await self._publish(stats, eval_engines=is_evaluated)  # pi_old <- pi_theta
        updates, position, curriculum = self._progress.updates, self._prompts.position, self._buffer.curriculum()
        state = LoopState(self.step, self.version, updates, position, self.ledger.state(), curriculum)
        trained, dropped = [each for batch in batches for each in batch.records], self._buffer.take_dropped()
        await self._roles.recorder.record(self.step, [*trained, *dropped])
        metrics = await self._account.close(trained, dropped, stats, published)
        self._report.begin(metrics, tasks, is_evaluated=is_evaluated)
        self._buffer.release(len(trained))
        await self._saver.keep(state, tasks)
        self._account.lap("save")

    async def _learn(self, part: StepPart, tasks: asyncio.TaskGroup) -> tuple[Batch, StepStats]:
        """Train on groups as soon as they are ready: those of a step or of a minibatch."""
        while True:
            groups, prompts = await self._take(part, tasks)  # o_i and r_i of every q
            batch = make_batch(groups, prompts, part, self._config, step=self.step + 1, version=self.version)  # A_i
            await self._engines.rest()  # if the learner needs their devices
            try:
                stats = await self._update(batch, has_more=not part.is_last)  # pi_theta: minibatches on -J
            except GroupLost as error:
                self._buffer.lose(error.group_ids)
                await self._engines.go_on()  # they generate replacements
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
        await self._report.finish()  # a running evaluation uses the weights that are about to change
        self._account.lap("eval_wait")
        if part.is_last:
            self._progress.ends_on_plateau()
            await self._buffer.leave_behind(groups, all_others=self.step + 1 == self.last)
        return groups, prompts

    async def _update(self, batch: Batch, *, has_more: bool) -> StepStats:
        training = self._roles.learner.train(batch.shards, batch.groups, has_more=has_more)
        try:
            return await self._waiter.wait_for_learner(training, "learn_s", "the learner group")
        except NonFiniteLoss as error:
            raise await set_aside(error, batch, self._roles.recorder, step=self.step + 1) from error

    async def _refresh_reference(self, num_updates: int) -> None:
        every, before = self._config.algo.reference_refresh_updates, self._progress.updates
        self._progress.updates += num_updates
        if every and self._progress.updates // every > before // every:
            refreshing = self._roles.learner.refresh_reference()
            await self._waiter.wait_for_learner(refreshing, "learn_s", "the reference refresh")

    async def _publish(self, stats: StepStats, *, eval_engines: bool) -> PublishStats:
        """Give the engines the new version. If fresh tokens of the step look suspicious, the version is probed."""
        dtypes = self._config.rollout.dtype, self._config.learner.dtype
        is_odd = is_suspicious(stats.metrics, self._progress.history, *dtypes)
        published = await self._engines.publish(self.version + 1, eval_engines=eval_engines, probe=is_odd)
        self._progress.advance()
        self._account.lap("publish")
        return published
