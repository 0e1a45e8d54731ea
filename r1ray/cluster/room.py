"""Room for engines that are started: on devices that they share with the learner only while that is away.

close --> waits for those that start --> the learner comes --> ... --> it leaves --> open
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Room:
    """Open from the start, and for good where devices are not shared."""

    def __init__(self) -> None:
        self.is_open, self._num_starting = True, 0
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Have room inside, once there is any: an engine measures the free memory when it starts."""
        while not self.is_open:
            await self._change()
        self._num_starting += 1
        try:
            yield
        finally:
            self._num_starting -= 1
            self._changed.set()

    async def close(self) -> None:
        """Let no other engine start, and wait for those that do; their start has a deadline."""
        self.is_open = False
        while self._num_starting:
            await self._change()

    def open(self) -> None:
        """Let engines start."""
        self.is_open = True
        self._changed.set()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()
