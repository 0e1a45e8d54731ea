"""Waits of a loop, each with a deadline and an owner. Engines that are behind are restored meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from r1ray.config import Deadlines
from r1ray.errors import DeadlineExceeded, LearnerLost
from r1ray.interfaces import WeightSync
from r1ray.loop.upkeep.progress import Progress
from r1ray.runtime.deadline import never, within
from r1ray.types import PublishStats

T = TypeVar("T")


class Waiter:
    """Waits for answers of others, by the deadlines of the configuration."""

    def __init__(self, deadlines: Deadlines, *, name: str = "the controller") -> None:
        """``name``: name of the waiter."""
        self.deadlines, self._name = deadlines, name

    async def wait_for(
        self,
        awaitable: Awaitable[T],
        deadline: str,
        owner: str,
        *,
        seconds: float | None = None,
        stands_still: Callable[[], bool] = never,
    ) -> T:
        """Return the result of ``awaitable``. Raises DeadlineExceeded.

        Args:
            deadline: name of the deadline in its section.
            owner: name of the one who has to answer.
            seconds: length of the wait, if it consists of several deadlines.
            stands_still: as in :func:`~r1ray.runtime.deadline.within`.
        """
        limit = getattr(self.deadlines, deadline) if seconds is None else seconds
        key = f"deadlines.{deadline}"
        return await within(limit, awaitable, waiter=self._name, owner=owner, key=key, stands_still=stands_still)

    async def wait_for_learner(
        self, awaitable: Awaitable[T], deadline: str, owner: str, *, seconds: float | None = None
    ) -> T:
        """Return the answer of the learner. Raises LearnerLost if there is none in time."""
        try:
            return await self.wait_for(awaitable, deadline, owner, seconds=seconds)
        except DeadlineExceeded as error:
            raise LearnerLost(str(error)) from error


class Engines:
    """The rollout engines. They receive every version; engines behind the live one receive it as soon as possible."""

    def __init__(self, weights: WeightSync, progress: Progress, waiter: Waiter) -> None:
        self._weights, self._progress, self._waiter = weights, progress, waiter
        self._is_behind = False
        self._lost_learner: LearnerLost | None = None
        self.news = asyncio.Event()
        """Event set by everything that the controller may wait for: a group, an evaluation, a lost engine, a stop."""
        weights.when_behind(self._note_behind)

    async def publish(self, version: int, *, eval_engines: bool = False, probe: bool = False) -> PublishStats:
        """Give engines the learner's weights. See :meth:`r1ray.interfaces.WeightSync.publish`."""
        self._progress.newest = max(self._progress.newest, version)
        publishing = self._weights.publish(version, eval_engines=eval_engines, probe=probe)
        owner = f"the publish of version {version}"
        return await self._waiter.wait_for(publishing, "publish_s", owner, seconds=self._publish_s)

    @property
    def _publish_s(self) -> float:
        """Limit for a publish that does not keep its own deadlines. It may send three times, and start an engine in the
        place of a lost one."""
        return 3 * self._waiter.deadlines.publish_s + 2 * self._waiter.deadlines.start_s

    async def rest(self) -> None:
        """Leave shared devices to the learner. See :meth:`r1ray.interfaces.WeightSync.rest`."""
        resting, owner = self._weights.rest(), "engines to fall asleep"
        await self._waiter.wait_for(resting, "publish_s", owner, seconds=self._publish_s)

    async def go_on(self) -> None:
        """Take shared devices back. See :meth:`r1ray.interfaces.WeightSync.go_on`."""
        going = self._weights.go_on(self._progress.version)
        await self._waiter.wait_for(going, "publish_s", "engines to wake", seconds=self._publish_s)

    def _note_behind(self) -> None:
        self._is_behind = True
        self.news.set()

    def note_learner(self, error: LearnerLost | None) -> None:
        """Have the next :meth:`restore` raise ``error``, because the controller may not be waiting for the lost
        learner. None: the learner is back."""
        self._lost_learner = error
        self.news.set()

    def raise_lost_learner(self) -> None:
        """Raise LearnerLost, once, if the learner was lost while nobody waited for it."""
        error, self._lost_learner = self._lost_learner, None
        if error is not None:
            raise error

    async def restore(self) -> None:
        """Give the live version to engines that wait for the learner to send it, if there are any. The learner must be
        idle and hold that version. Raises LearnerLost. Clears ``news``: later events set it again."""
        self.news.clear()
        self.raise_lost_learner()
        if self._is_behind:
            self._is_behind = False
            await self.publish(self._progress.version)
