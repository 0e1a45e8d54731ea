"""Engines that come between two publishes, in the place of lost ones or beside others: how they get the live version.

ready --> the snapshot is here? --load--> serving, while the learner does something else
                          `--no--> behind: the learner sends the version when it is idle
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from ray.exceptions import RayError

from r1ray.cluster.engine import Engine, updating
from r1ray.cluster.engines import EnginePool
from r1ray.cluster.reasons import reason_of
from r1ray.cluster.snapshot import Snapshot
from r1ray.runtime.background import Background

logger = logging.getLogger(__name__)


class Latecomers:
    """Brings engines of one pool up to the live version."""

    def __init__(
        self,
        pool: EnginePool,
        snapshot: Snapshot,
        *,
        load_s: float,
        settle: Callable[[Sequence[Engine]], Awaitable[None]],
    ) -> None:
        """
        Args:
            load_s: bounds the load of a snapshot.
            settle: has engines end what a failed load left open.
        """
        self._pool, self._snapshot, self._load_s, self._settle = pool, snapshot, load_s, settle
        self._when_behind: list[Callable[[], None]] = []
        self._background = Background(pool.fail)
        self.live: int | None = None
        """The version that was published last."""
        self.is_publishing = False
        """Another one is being published: nobody is brought up then, but all who missed it at its end."""
        pool.when_ready(self._bring_up)

    def when_behind(self, callback: Callable[[], None]) -> None:
        """See :class:`r1ray.interfaces.WeightSync`."""
        self._when_behind.append(callback)

    def bring_up_all(self) -> None:
        """Begin to bring up every engine that does not serve the live version."""
        for engine in self._pool.living:
            self._background.start(self._bring_up(engine))

    async def _bring_up(self, engine: Engine) -> None:
        """Let an engine that has just started, or missed a publish, serve the live version: from the snapshot, while
        the learner does something else; or from the learner, when it is idle."""
        if self.live is None or engine.on_device != "all":
            return
        while engine.version != self.live and not (engine.is_lost or engine.is_updating or self.is_publishing):
            with updating([engine]):
                is_loaded = await self._load(engine, self.live)
            if not is_loaded:
                break
        if self.is_publishing or engine.is_lost or engine.is_updating:
            return  # the end of the publish looks at it again
        if engine.version == self.live and engine.state == "held":
            await self._pool.serve([engine])
        elif engine.version != self.live:
            for callback in self._when_behind:
                callback()

    async def _load(self, engine: Engine, version: int) -> bool:
        """Have an engine take a version from the snapshot. Returns False where it cannot."""
        place = self._snapshot.of(version)
        if place is None:
            return False
        try:
            async with asyncio.timeout(self._load_s):
                if not await engine.actor.load_snapshot.remote(place):
                    return False
                await engine.actor.commit.remote(version)
                await engine.actor.resume.remote()
        except (RayError, TimeoutError) as error:
            logger.warning("%s cannot take version %d from the snapshot: %s", engine.name, version, reason_of(error))
            await self._settle([engine])
            return False
        engine.received = engine.version = version
        return True
