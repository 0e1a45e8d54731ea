"""A warning if nothing is learned: every group of several steps has equal rewards."""

from __future__ import annotations

import logging
from collections.abc import Mapping

logger = logging.getLogger(__name__)
STEPS = 3


class UniformWatch:
    """Counts steps in a row of whose groups none teaches anything."""

    def __init__(self) -> None:
        self._in_a_row = 0

    def look(self, metrics: Mapping[str, float]) -> None:
        """Look at the metrics of a step; warn at the third such step in a row."""
        self._in_a_row = self._in_a_row + 1 if metrics.get("group/uniform_rate") == 1.0 else 0
        if self._in_a_row != STEPS:
            return
        mean = metrics.get("reward/mean", 0.0)
        advice = (
            "The prompts may be too hard, or the answers not in the form that the reward looks for: read some in "
            "rollouts/, and score one by hand with r1ray score."
            if mean <= 0.0
            else "The prompts may be too easy for this model: take harder ones, or a reward that tells answers apart."
        )
        logger.warning(
            "in each of the last %d steps every group had equal rewards (reward/mean %.3g), so that nothing was "
            "learned. %s A larger algo.group_size, or a higher algo.temperature, makes groups differ.",
            *(STEPS, mean, advice),
        )
