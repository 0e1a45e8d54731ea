"""The Recorder role over the actor that writes the rollout log, and another one in its place where it is lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from ray.exceptions import RayActorError, RayError

from r1ray.cluster.group_workers import GroupWorkers
from r1ray.cluster.host import Handle, cause_of
from r1ray.errors import DeadlineExceeded, InfrastructureError
from r1ray.interfaces import Lent
from r1ray.runtime.deadline import within
from r1ray.telemetry.rollouts import EVALUATION
from r1ray.types import GroupRecord

logger = logging.getLogger(__name__)
MAX_ATTEMPTS = 3
"""Attempts to write one file; what ends its writer so often would do so again."""
READ_SHARE = 3
"""Trajectories, and what the learner found of them, have this part of a file's deadline each to arrive (1/3)."""
PING_S = 5.0
"""Between two questions to a writer at work, and how long each may take to answer."""
MAX_SILENT = 3
"""So many questions in a row a writer may leave unanswered, and more of them while it starts."""
MAX_SILENT_AT_START = 12


class RecorderProxy:
    """The Recorder role over one actor. It reads the trajectories from the workers that hold them and writes Parquet
    files, one after the other, and nobody waits; then the workers let them go. Where the actor dies, or answers
    nothing, another one is started, and what was not written yet is written by that."""

    MAX_BEHIND = 8

    def __init__(
        self,
        start: Callable[[], Handle],
        groups: GroupWorkers,
        *,
        deadline_s: float,
        learned: Callable[[float], Lent | None] = lambda deadline_s: None,
    ) -> None:
        """
        Args:
            start: starts a writer, which need not answer yet.
            deadline_s: of one file.
            learned: lends what the learner found of the trajectories of the step that it made last; called with how
                long they may be read.
        """
        self._start, self._groups, self._deadline_s, self._learned = start, groups, deadline_s, learned
        self._actor = start()
        self._is_fresh = self._has_answered = False
        self._order = asyncio.Lock()
        self._pending: list[asyncio.Task[Path | None]] = []
        self._when_lost: list[Callable[[], None]] = []

    def when_lost(self, callback: Callable[[], None]) -> None:
        """See :class:`r1ray.interfaces.Recorder`."""
        self._when_lost.append(callback)

    async def record(self, step: int, records: Sequence[GroupRecord]) -> None:
        """See :class:`r1ray.interfaces.Recorder`. Waits only while the writer is ``MAX_BEHIND`` steps behind. Raises
        what went wrong in writing another step."""
        learned = self._learned(self._deadline_s / READ_SHARE)  # before the learner makes the next step
        await self._hand_over(self._write(step, records, "step", self._groups, learned))

    async def record_evaluation(self, step: int, records: Sequence[GroupRecord], groups: GroupWorkers) -> None:
        """Hand over the groups of an evaluation of the version after ``step``, which ``groups`` hold. Waits as
        :meth:`record` does."""
        await self._hand_over(self._write(step, records, EVALUATION, groups))

    async def _hand_over(self, writing: Coroutine[Any, Any, Path | None]) -> None:
        self._pending.append(asyncio.create_task(writing))
        while self._pending and (self._pending[0].done() or len(self._pending) > self.MAX_BEHIND):
            await self._pending.pop(0)

    async def set_aside(self, step: int, records: Sequence[GroupRecord]) -> Path:
        """See :class:`r1ray.interfaces.Recorder`."""
        path = await self._write(step, records, "not_finite_step", self._groups)
        if path is None:
            raise InfrastructureError(f"the groups of step {step} that were to be set aside are not written")
        return path

    async def flush(self) -> None:
        while self._pending:
            await self._pending.pop(0)

    async def _write(
        self,
        step: int,
        records: Sequence[GroupRecord],
        name: str,
        holder: GroupWorkers,
        learned: Lent | None = None,
    ) -> Path | None:
        """Return the path of what was written; None where every writer ended over it."""
        groups = [record.group for record in records if record.group is not None]
        async with self._order:
            for _ in range(MAX_ATTEMPTS):
                try:
                    lent = holder.lend(groups, within_s=self._deadline_s / READ_SHARE)
                    path = await self._attempt(step, records, name, lent, learned)
                    break
                except RayActorError as error:
                    self._replace(step, cause_of(error))
                except DeadlineExceeded as error:
                    if await self._answers():
                        raise  # it works, and is slow
                    self._replace(step, str(error).rstrip("."))
            else:
                path = None
                logger.warning("the rollouts of step %d are lost: %d processes ended over them", step, MAX_ATTEMPTS)
        await holder.drop(groups)
        return path

    async def _attempt(
        self, step: int, records: Sequence[GroupRecord], name: str, lent: Lent, learned: Lent | None
    ) -> Path:
        # What a writer before this one has left of the step, or in the middle of a line, is removed.
        writing = self._actor.write.remote(step, records, lent, name, learned=learned, again=self._is_fresh)
        path: Path = await within(
            self._deadline_s,
            self._watched(writing),
            waiter="the controller",
            owner="the rollout log",
            key="deadlines.checkpoint_s",
        )
        self._is_fresh, self._has_answered = False, True
        return path

    async def _watched(self, call: Awaitable[Path]) -> Path:
        """Return what a call of the writer returns. A writer that is stopped is killed; its call fails then."""
        writing, num_silent = asyncio.ensure_future(call), 0
        try:
            while not (await asyncio.wait({writing}, timeout=PING_S))[0]:
                num_silent = 0 if await self._answers() else num_silent + 1
                if num_silent == (MAX_SILENT if self._has_answered else MAX_SILENT_AT_START):
                    self._actor.kill()
            return await writing
        finally:
            writing.cancel()

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(PING_S):
                await self._actor.actor.place.remote()
        except TimeoutError:
            return False
        except RayError:
            return True  # it is dead, which its call tells
        self._has_answered = True
        return True

    def _replace(self, step: int, why: str) -> None:
        logger.warning("the process of the rollout log is lost: %s. Another one writes step %d", why, step)
        for callback in self._when_lost:
            callback()
        self._actor.kill()
        self._actor, self._is_fresh, self._has_answered = self._start(), True, False
