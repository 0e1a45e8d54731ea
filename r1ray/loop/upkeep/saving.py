"""Saving: exports and checkpoints of the live version, while training continues.

A checkpoint begins when the learner has copied its state, and becomes the newest one once every rank has written its
files. The next checkpoint and the end of the run wait for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path

from r1ray.config import CheckpointConfig
from r1ray.errors import LearnerLost, Terminated
from r1ray.interfaces import Learner, Recorder
from r1ray.loop.checkpoint import Checkpoints, LoopState
from r1ray.loop.upkeep.disk import Disk
from r1ray.loop.upkeep.due import Due
from r1ray.loop.upkeep.progress import Progress
from r1ray.loop.upkeep.reporting import Report
from r1ray.loop.upkeep.waiting import Engines, Waiter

logger = logging.getLogger(__name__)

POLL_S = 0.5
"""Interval at which the learner is asked whether a checkpoint's files are written. It answers between its calls."""


class Saver:
    """Exports and saves versions that are due."""

    def __init__(
        self,
        config: CheckpointConfig,
        learner: Learner,
        recorder: Recorder,
        checkpoints: Checkpoints,
        export: Callable[[int], Awaitable[None]] | None,
        *,
        progress: Progress,
        report: Report,
        engines: Engines,
        waiter: Waiter,
    ) -> None:
        self._config, self._learner, self._recorder = config, learner, recorder
        self._checkpoints, self._export = checkpoints, export
        self._progress, self._report, self._engines, self._waiter = progress, report, engines, waiter
        self._latest: LoopState | None = None  # after the last step made in this process
        self._saving: asyncio.Task[None] | None = None
        self._is_writing = False  # the learner has not written all files of the checkpoint yet
        self._is_missing = False  # the last checkpoint found no room while training went on
        self._due = Due(config)
        self._disk = Disk(config, checkpoints, wait_s=waiter.deadlines.checkpoint_s)

    async def keep(self, state: LoopState, tasks: asyncio.TaskGroup) -> None:
        """Export and save the version that a step has made, if it is due."""
        self._latest = state
        every, is_last = self._config.export_every, state.step == self._progress.last
        if self._export is not None and every and state.step % every == 0 and not is_last:
            # Before the checkpoint, so that a resumed run finds it made.
            await self._disk.written(partial(self._export, state.step), f"the export of step {state.step}")
        if self._is_missing or self._due.is_due(state.step, is_last=is_last):
            await self._save(state, tasks)
        else:
            await self._disk.room("the next step")

    async def finish(self) -> None:
        """Return when everything is saved. Raises LearnerLost if saving failed with the learner."""
        if self._saving is not None:
            await self._saving
            self._engines.raise_lost_learner()
        if self._is_missing and self._latest is not None:
            await self._save(self._latest, None)

    async def go_back(self) -> None:
        """Give up saves of the learner, which is lost; files that it has completed become a checkpoint."""
        saving, self._saving, self._latest = self._saving, None, None
        if saving is not None:
            if self._is_writing:
                saving.cancel()
            await asyncio.wait({saving})
        self._is_writing = self._is_missing = False

    async def end_early(self, tasks: asyncio.TaskGroup) -> Terminated:
        """Save the last step if it has no checkpoint; return the exception to raise."""
        if self._latest is not None and not self._due.is_saved(self._latest.step):
            await self._save(self._latest, tasks)
        await self.finish()
        return Terminated.after(self._progress.step, has_checkpoint=bool(self._checkpoints.versions()))

    async def _save(self, state: LoopState, tasks: asyncio.TaskGroup | None) -> None:
        """Save a step, in the background if ``tasks`` is given and that is allowed."""
        await self._report.finish()  # everything that a resumed run takes as done has to be on disk
        await self._recorder.flush()
        if self._saving is not None:
            await self._saving  # one at a time
        self._is_missing = False
        self._due.note(state.step)
        attempt = partial(self._try_to_save, state, tasks)
        await self._disk.written(attempt, f"checkpoint {state.step}", needs=self._disk.checkpoint_bytes())

    async def _try_to_save(self, state: LoopState, tasks: asyncio.TaskGroup | None) -> None:
        is_asynchronous = self._config.asynchronous and tasks is not None
        aside = self._checkpoints.begin(state.step)
        saving = self._learner.save(aside / "learner", asynchronous=is_asynchronous)
        await self._waiter.wait_for_learner(saving, "checkpoint_s", "the learner's checkpoint")
        metrics = self._report.held_out_metrics(state.step)
        if tasks is not None and is_asynchronous:
            self._is_writing = True
            self._saving = tasks.create_task(self._commit_later(aside, state, metrics))
        else:
            await self._commit(aside, state, metrics)

    async def _commit_later(self, aside: Path, state: LoopState, metrics: Mapping[str, float]) -> None:
        try:
            await self._wait_for_files(state)
            await self._commit(aside, state, metrics)
        except LearnerLost as error:
            self._engines.note_learner(error)  # for those who wait for the learner: nobody waits here
        except Exception as error:
            fault = await self._disk.fault()
            if fault is None:
                raise
            self._is_missing, self._is_writing = True, False  # the learner is beyond that state by now
            self._checkpoints.give_up(aside)
            logger.warning(
                f"checkpoint {state.step} was not written ({fault.strerror or error}); the next step will be"
            )

    async def _commit(self, aside: Path, state: LoopState, metrics: Mapping[str, float]) -> None:
        # In a thread: it reads and removes files.
        await asyncio.to_thread(self._checkpoints.commit, aside, state, metrics=metrics)

    async def _wait_for_files(self, state: LoopState) -> None:
        deadlines = self._waiter.deadlines
        seconds = deadlines.checkpoint_s + deadlines.learn_s  # a rank that trains answers when its step is done
        owner = f"the learner group to write checkpoint {state.step}"
        await self._waiter.wait_for_learner(self._written(), "checkpoint_s", owner, seconds=seconds)
        self._is_writing = False

    async def _written(self) -> None:
        while not await self._learner.written():
            await asyncio.sleep(POLL_S)
