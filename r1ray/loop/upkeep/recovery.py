"""Recovery: a lost learner is restarted within the run, which continues from the last checkpoint.

    work --LearnerLost--> go back to the checkpoint (or the start) --> restart all ranks --> load --> work again

The engines continue meanwhile. A crash that recurs after the same step, or repeatedly without a new checkpoint in
between, ends the run, because its cause lies in the data, the settings or the machine and will not go away.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from r1ray.config import LearnerConfig
from r1ray.errors import InfrastructureError, LearnerLost, R1RayError, Terminated
from r1ray.loop.checkpoint import Checkpoints, LoopState
from r1ray.loop.roles import RestartableLearner
from r1ray.loop.upkeep.faults import Faults
from r1ray.loop.upkeep.waiting import Waiter

logger = logging.getLogger(__name__)
ROLE = "learner_rank"


class Recovery:
    """Does the work of a loop, and restarts its learner if it is lost."""

    def __init__(
        self,
        config: LearnerConfig,
        learner: RestartableLearner,
        checkpoints: Checkpoints,
        *,
        faults: Faults,
        waiter: Waiter,
        step: Callable[[], int],
        is_stopping: Callable[[], bool],
        go_back: Callable[[LoopState | None], Awaitable[None]],
        settle: Callable[[], Awaitable[None]] | None = None,
        tell: Callable[[LearnerLost | None], None] = lambda error: None,
        ended: Callable[[Terminated], R1RayError] = lambda ended: ended,
    ) -> None:
        """
        Args:
            step: returns the last step that was made.
            is_stopping: returns whether the run was asked to end; then nothing is restarted.
            go_back: returns everything but the learner to its state at a checkpoint; None: at the start.
            settle: ends a save in progress, as a checkpoint or not.
            tell: is told of a loss, for those who do not wait for the learner; None: the learner is back.
            ended: returns the exception of a run that was asked to end, possibly for another reason than a signal.
        """
        self._max_restarts, self._learner, self._checkpoints = config.max_restarts, learner, checkpoints
        self._faults, self._waiter = faults, waiter
        self._step, self._is_stopping, self._tell = step, is_stopping, tell
        self._settle, self._go_back, self._ended = settle, go_back, ended
        learner.when_lost(tell)
        self._crashed_after: int | None = None
        self._from: int | None = None  # the checkpoint of the last restarts
        self._in_a_row = 0

    async def run(
        self, work: Callable[[], Awaitable[None]], *, begin: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Do the work, and do it again after each restart. It has to continue from the current state of the loop.

        Args:
            begin: has the learner load the checkpoint of a resumed run; a restart loads it, too.
        """
        while True:
            try:
                if begin is not None:
                    await begin()
                return await work()
            except InfrastructureError as error:
                lost = await self._blame(error)
            begin = None
            await self._restart(lost)

    async def _blame(self, error: InfrastructureError) -> LearnerLost:
        """Return how the learner was lost; raise ``error`` if it was not. This finds a rank that hangs: the exception
        comes from whoever waited for it."""
        if isinstance(error, LearnerLost) and error.ranks:
            return error
        try:
            await self._learner.check()
        except LearnerLost as lost:
            return LearnerLost(f"{lost}. It was found because {error}", lost.ranks)
        if isinstance(error, LearnerLost):
            return error
        raise error

    async def _restart(self, lost: LearnerLost) -> None:
        began, after = time.monotonic(), self._step()
        if self._settle is not None:
            await self._settle()
        found = await asyncio.to_thread(self._checkpoints.latest)
        folder, state = found or (None, None)
        if self._is_stopping():
            ended = Terminated.after(state.step if state else 0, has_checkpoint=state is not None)
            raise self._ended(ended) from lost
        self._count(lost, state, after=after)
        await self._go_back(state)
        while True:
            try:
                await self._start(folder)
                break
            except LearnerLost as error:
                self._count(error, state)
        self._tell(None)
        logger.warning("the learner group is back after %.1f s", time.monotonic() - began)

    async def _start(self, folder: Path | None) -> None:
        restarting = self._learner.restart()
        await self._waiter.wait_for_learner(restarting, "start_s", "the learner group to start again")
        if folder is not None:
            loading = self._learner.load(folder)
            await self._waiter.wait_for_learner(loading, "checkpoint_s", "the learner group to load its checkpoint")

    def _count(self, lost: LearnerLost, state: LoopState | None, *, after: int | None = None) -> None:
        """Count a restart from a checkpoint, and log it. Raises LearnerLost if it is one too many.

        Args:
            after: the last step before a crash; None: the learner crashed while it was being restarted.
        """
        step = state.step if state else 0
        self._faults.note(ROLE, max(1, len(lost.ranks)))
        self._in_a_row = self._in_a_row + 1 if step == self._from else 1
        self._from = step
        origin = f"the checkpoint of step {step}" if state else "the start, for there is no checkpoint yet"
        reason = str(lost).rstrip(".")
        if why := self._why_not(after):
            raise LearnerLost(f"{reason}. {why}; the same command goes on from {origin}", lost.ranks) from lost
        self._crashed_after = self._crashed_after if after is None else after
        self._faults.restarts += 1
        logger.warning("%s. The learner group is started again, from %s; the rest of the run stays up.", reason, origin)

    def _why_not(self, after: int | None) -> str | None:
        if self._in_a_row > self._max_restarts:
            started = f"It was started again {self._in_a_row - 1} times without a new checkpoint in between, and "
            allowed = f"learner.max_restarts={self._max_restarts} allows no more"
            return (started if self._max_restarts else "") + allowed
        if after is not None and after == self._crashed_after:
            return f"That is the second crash in a row after step {after}: its cause recurs with the step"
        return None
