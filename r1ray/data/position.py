"""The position in the data, which is part of a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Position:
    """The position in the data: the next prompt to issue. Saved with every checkpoint."""

    epoch: int = 0
    index: int = 0
