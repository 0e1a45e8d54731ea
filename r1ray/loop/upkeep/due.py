"""Due: the schedule of checkpoints, by steps and by the clock."""

from __future__ import annotations

import time

from r1ray.config import CheckpointConfig


class Due:
    """Schedule by ``checkpoint.every`` and ``checkpoint.every_minutes``, whichever comes first."""

    def __init__(self, config: CheckpointConfig) -> None:
        self._every, self._minutes = config.every, config.every_minutes
        self._since = time.monotonic()
        self._saved = -1

    def is_due(self, step: int, *, is_last: bool) -> bool:
        """Return whether the step just made is to be saved."""
        if not self._every and self._minutes is None:
            return False
        if is_last or (self._every and step % self._every == 0):
            return True
        return self._minutes is not None and time.monotonic() - self._since >= 60 * self._minutes

    def note(self, step: int) -> None:
        """Note that a step is being saved."""
        self._saved, self._since = step, time.monotonic()

    def is_saved(self, step: int) -> bool:
        """Return whether that step was the last one to be saved."""
        return step == self._saved
