"""Progress: how far a run is, and the step with which it ends."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from r1ray.config import StopConfig
from r1ray.loop.checkpoint import LoopState
from r1ray.loop.upkeep.stopping import has_plateaued

logger = logging.getLogger(__name__)


class Progress:
    """The live version, the optimizer updates so far, and the lines of metrics.jsonl up to here."""

    def __init__(
        self, steps: int, stop: StopConfig, *, state: LoopState | None, history: Sequence[Mapping[str, float]]
    ) -> None:
        """
        Args:
            history: the lines that were logged up to ``state``.
        """
        self._steps, self._stop = steps, stop
        self.version = state.version if state else 0
        self.updates = state.updates if state else 0
        self.history = list(history)
        was_last = state is not None and has_plateaued(self.history, stop, step=self.version - 1)
        self.last = self.version if was_last else steps
        """The version with which training ends, as far as it is known."""

    @property
    def is_done(self) -> bool:
        return self.version >= self.last

    def ends_on_plateau(self) -> bool:
        """Make the step that comes the last one if ``stop`` says so, and say whether it became that.

        The decision rests on the lines before the step alone, so that a resumed run decides the same.
        """
        stop = self._stop
        if self.version + 1 >= self.last or not has_plateaued(self.history, stop, step=self.version):
            return False
        self.last = self.version + 1
        logger.info(
            f"stage rl: training ends with step {self.last}: the mean of {stop.metric} over the last {stop.window} "
            f"metrics is not {stop.min_gain:g} above that of the {stop.window} before (stop.patience={stop.patience})"
        )
        return True

    def metrics(self) -> dict[str, float]:
        """Return ``stop/plateau`` for the line of a last step that came before ``steps``."""
        return {"stop/plateau": 1.0} if self.version == self.last < self._steps else {}
