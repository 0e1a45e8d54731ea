"""Work of this process whose end is known, for those who show it: so much of so much is done.

for step in counted("pretraining", range(600)): ...   -->   under_way() -> [Advance("pretraining", 600, 12)]
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class Advance:
    """Work that is under way."""

    what: str
    total: float
    done: float = 0.0
    begun: float = field(default_factory=time.monotonic)
    """Start by the monotonic clock. Unit: s."""


_under_way: dict[int, Advance] = {}


@contextmanager
def advancing(what: str, *, total: float) -> Iterator[Advance]:
    """Yield work whose ``done`` the block raises."""
    advance = Advance(what, total)
    _under_way[id(advance)] = advance
    try:
        yield advance
    finally:
        del _under_way[id(advance)]


def counted(what: str, items: Sequence[T]) -> Iterator[T]:
    """Yield the items; each is done when the next one is asked for."""
    with advancing(what, total=len(items)) as advance:
        for item in items:
            yield item
            advance.done += 1


def under_way() -> list[Advance]:
    """Return what is under way, the oldest first."""
    return list(_under_way.values())
