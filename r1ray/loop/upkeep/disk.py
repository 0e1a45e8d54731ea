"""Disk: space for the files of a run. A run waits for a full disk, or ends cleanly (``checkpoint.on_full_disk``).

room     --full?--> a warning every minute --> room again, or the deadline has passed
written  --> room, the attempt; again if it failed because the disk was full
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from r1ray.config import CheckpointConfig
from r1ray.errors import LearnerLost, R1RayError
from r1ray.loop.checkpoint import Checkpoints
from r1ray.runtime.disk import UNTIL_FREED, why_not

logger = logging.getLogger(__name__)

T = TypeVar("T")

POLL_S, WARN_S = 1.0, 60.0
STEP_BYTES = 1 << 20
"""Least free space before a step begins, for its line of metrics and its other output. Unit: bytes."""


class Disk:
    """The disk of one run folder."""

    def __init__(self, config: CheckpointConfig, checkpoints: Checkpoints, *, wait_s: float) -> None:
        """``wait_s``: the longest wait for room, in seconds."""
        self._config, self._checkpoints, self._wait_s = config, checkpoints, wait_s

    async def fault(self, *, needs: int = 0) -> OSError | None:
        """Return why nothing, or less than ``needs`` bytes, can be written. Other tasks run on while a slow disk
        answers."""
        return await asyncio.to_thread(why_not, self._checkpoints.folder.parent, needs=needs)

    async def room(self, what: str, *, needs: int = STEP_BYTES) -> None:
        """Return when ``needs`` bytes can be written. Raises R1RayError if the run does not wait, or has waited too
        long."""
        begin, warned = time.monotonic(), -WARN_S
        while (fault := await self.fault(needs=needs)) is not None:
            waited = time.monotonic() - begin
            found = f"{self._checkpoints.folder.parent}: no room for {what}: {fault.strerror or fault}"
            if fault.errno not in UNTIL_FREED or self._config.on_full_disk == "stop" or waited >= self._wait_s:
                raise R1RayError(f"{found}.{self._ended(waited)} {self._goes_on()}")
            if waited - warned >= WARN_S:
                warned = waited
                logger.warning(f"{found}. Waiting for it, {self._wait_s - waited:.0f} s more (deadlines.checkpoint_s)")
            await asyncio.sleep(min(POLL_S, self._wait_s))

    async def written(self, attempt: Callable[[], Awaitable[T]], what: str, *, needs: int = STEP_BYTES) -> T:
        """Return the result of ``attempt``, which writes and may be called again."""
        while True:
            await self.room(what, needs=needs)
            try:
                return await attempt()
            except LearnerLost:
                raise
            except Exception:
                if await self.fault() is None:
                    raise

    def checkpoint_bytes(self) -> int:
        """Return the expected size of the next checkpoint, estimated from the newest one."""
        return max(STEP_BYTES, self._checkpoints.num_bytes())

    def _ended(self, waited: float) -> str:
        if self._config.on_full_disk == "stop":
            return " The run ends (checkpoint.on_full_disk=stop)."
        return f" Waited {waited:.0f} s for it (deadlines.checkpoint_s)." if waited else ""

    def _goes_on(self) -> str:
        versions = self._checkpoints.versions()
        return f"The same command goes on from checkpoint {versions[-1]}." if versions else "There is no checkpoint."
