"""Progress of a run, and the step with which it ends.

A step makes the next policy version. If the learner is restarted, the step goes back to that of the checkpoint, but the
version does not: no version number is ever used for two sets of weights.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from r1ray.config import StopConfig
from r1ray.loop.checkpoint import LoopState
from r1ray.loop.upkeep.stopping import has_plateaued

logger = logging.getLogger(__name__)


class Progress:
    """The step and its live version, the optimizer updates so far, and the lines of metrics.jsonl up to here."""

    def __init__(
        self, steps: int, stop: StopConfig, *, state: LoopState | None, history: Sequence[Mapping[str, float]]
    ) -> None:
        """
        Args:
            history: lines logged up to ``state``.
        """
        self._steps, self._stop = steps, stop
        self.version = self.newest = state.version if state else 0
        """``newest``: the highest version that was ever published, or attempted."""
        self._take_up(state, history)

    def _take_up(self, state: LoopState | None, history: Sequence[Mapping[str, float]]) -> None:
        self.step = state.step if state else 0
        self.updates = state.updates if state else 0
        self.history = list(history)
        was_last = state is not None and has_plateaued(self.history, self._stop, step=self.step - 1)
        self.last = self.step if was_last else self._steps
        """The step with which training ends, as far as it is known."""

    def go_back(self, state: LoopState | None) -> None:
        """Return to a checkpoint, or to the start, under a new version. The version also advances by the number of
        undone steps, so that the staleness of samples made meanwhile counts them."""
        undone = self.step - (state.step if state else 0)
        self._take_up(state, [line for line in self.history if line["step"] <= self.step - undone])
        self.version = self.newest = self.newest + 1 + undone

    def advance(self) -> None:
        """Note that the next step is made and its version is live."""
        self.step, self.version = self.step + 1, self.version + 1

    @property
    def is_begun(self) -> bool:
        """True if a step was made, or the line before the first step is logged."""
        return bool(self.step or self.history)

    @property
    def is_done(self) -> bool:
        return self.step >= self.last

    def ends_on_plateau(self) -> bool:
        """Make the coming step the last one if ``stop`` says so, and return whether it did.

        The decision depends only on the lines before the step, so a resumed run decides the same.
        """
        stop = self._stop
        if self.step + 1 >= self.last or not has_plateaued(self.history, stop, step=self.step):
            return False
        self.last = self.step + 1
        logger.info(
            f"stage rl: training ends with step {self.last}: the mean of {stop.metric} over the last {stop.window} "
            f"metrics is not {stop.min_gain:g} above that of the {stop.window} before (stop.patience={stop.patience})"
        )
        return True

    def metrics(self) -> dict[str, float]:
        """Return ``stop/plateau`` for the line of a last step that comes before ``steps``."""
        return {"stop/plateau": 1.0} if self.step == self.last < self._steps else {}
