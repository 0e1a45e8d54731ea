"""Engines that join a live run, as nodes come: room for one more at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from r1ray.cluster.placement import POLL_S, Reservation


async def newcomers(placement: Reservation, section: str, *, first: int, end: int) -> AsyncIterator[str]:
    """Yield the names of engines ``first``, ``first + 1``, ... below ``end``, each once there is room for it. The room
    is theirs from then on: one that leaves with its node comes back with another."""
    for index in range(first, end):
        placement.ask_for_room(section, index)
        while not placement.has_room(section, index):
            await asyncio.sleep(POLL_S)
        yield f"{section} {index}"
