"""The diagnosis of a run that is going on, for the console: each finding once, as soon as it can be known."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from r1ray.telemetry.diagnosis.diagnose import diagnose
from r1ray.telemetry.metrics import is_evaluated

logger = logging.getLogger(__name__)
EVERY = 5
"""Steps between two looks, beside those at evaluations: not every run has any. The rules need no fewer."""


class DiagnosisWatch:
    """Looks at the lines of metrics.jsonl as they come, and warns of what is wrong."""

    def __init__(self, history: Sequence[Mapping[str, Any]], *, settings: Mapping[str, Any], rollouts: Path) -> None:
        """
        Args:
            history: lines before this process.
            settings: the run's resolved configuration.
            rollouts: the folder of the rollout log.
        """
        self._rows, self._settings, self._rollouts = list(history), settings, rollouts
        self._said: set[str] = set()

    def note(self, metrics: Mapping[str, float]) -> None:
        """Note a line; look at the run after an evaluation, and every five steps."""
        self._rows.append(metrics)
        is_due = "time/step_s" in metrics and metrics["step"] % EVERY == 0
        if is_due or is_evaluated(metrics):
            self.say()

    def say(self) -> None:
        """Warn of what is wrong, but for what was said before."""
        for finding in diagnose(self._rows, settings=self._settings, rollouts=self._rollouts, but=self._said):
            self._said.add(finding.rule)
            logger.warning("diagnosis: %s", finding.line)

    def forget(self, step: int) -> None:
        """Forget the lines of later steps: they are made again."""
        self._rows = [row for row in self._rows if row["step"] <= step]
