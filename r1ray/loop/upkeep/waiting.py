"""Waits of the controller: each has a deadline and an owner; lost engines are restored meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from r1ray.config import Deadlines
from r1ray.interfaces import WeightSync
from r1ray.loop.upkeep.progress import Progress
from r1ray.runtime.deadline import within
from r1ray.types import PublishStats

T = TypeVar("T")


class Waiter:
    """Waits for what others have to answer, by the deadlines of the configuration."""

    def __init__(self, deadlines: Deadlines) -> None:
        self.deadlines = deadlines

    async def wait_for(self, awaitable: Awaitable[T], deadline: str, owner: str, *, seconds: float | None = None) -> T:
        """Return the result of ``awaitable``. Raises DeadlineExceeded.

        Args:
            deadline: the name of the deadline in its section.
            owner: who has to answer.
            seconds: how long, if the wait is made of several deadlines.
        """
        limit = getattr(self.deadlines, deadline) if seconds is None else seconds
        return await within(limit, awaitable, waiter="the controller", owner=owner, key=f"deadlines.{deadline}")


class Engines:
    """The rollout engines: they are given every version, and replaced if they are lost."""

    def __init__(self, weights: WeightSync, progress: Progress, waiter: Waiter) -> None:
        self._weights, self._progress, self._waiter = weights, progress, waiter
        self._is_lost = False
        self.news = asyncio.Event()
        """Set by everything that the controller may wait for: a group, an evaluation, a lost engine, a stop."""
        weights.when_lost(self._note_loss)

    async def publish(self, version: int, *, eval_engines: bool = False, probe: bool = False) -> PublishStats:
        """Give engines the learner's weights. See :meth:`r1ray.interfaces.WeightSync.publish`."""
        # The publish has its own deadlines; this one is for a publish that does not keep them. It may send three
        # times, and start an engine in the place of a lost one.
        deadlines = self._waiter.deadlines
        publishing = self._weights.publish(version, eval_engines=eval_engines, probe=probe)
        seconds = 3 * deadlines.publish_s + 2 * deadlines.start_s
        owner = f"the publish of version {version}"
        return await self._waiter.wait_for(publishing, "publish_s", owner, seconds=seconds)

    def _note_loss(self) -> None:
        self._is_lost = True
        self.news.set()

    async def restore(self) -> None:
        """Replace lost engines and give them the live version, if any was lost. The learner must be idle and hold that
        version. Clears ``news``: what comes from here on sets it again."""
        self.news.clear()
        if self._is_lost:
            self._is_lost = False
            await self.publish(self._progress.version)
