"""A count of what numpy's generators draw: what drawing again costs, on any machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest


class Draws:
    """Stands for each generator that ``numpy.random.default_rng`` makes while it is in place."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.num_calls = self.num_numbers = 0
        make = np.random.default_rng
        monkeypatch.setattr(np.random, "default_rng", lambda seed: _Counted(make(seed), self))

    def of(self, work: Callable[[], object]) -> tuple[int, int]:
        """Return how often ``work`` asks a generator, and for how many numbers in all."""
        self.num_calls = self.num_numbers = 0
        work()
        return self.num_calls, self.num_numbers


class _Counted:
    def __init__(self, rng: np.random.Generator, draws: Draws) -> None:
        self._rng, self._draws = rng, draws

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._rng, name)

        def counted(*arguments: Any, **options: Any) -> Any:
            drawn = method(*arguments, **options)
            self._draws.num_calls += 1
            self._draws.num_numbers += np.size(drawn)
            return drawn

        return counted
