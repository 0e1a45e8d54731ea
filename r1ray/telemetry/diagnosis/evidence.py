"""The evidence that rules look at: the metrics of a run so far, its settings, and some of its last rollouts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from r1ray.telemetry.diagnosis.examples import Examples

WINDOW = 5
"""Steps that a mean is taken over: the metrics of one step jump, as it has few prompts."""
LABELS = ("correct", "wrong", "no_answer")
"""Labels of checks that say if a response is right."""


class Evidence:
    """A run so far."""

    def __init__(
        self,
        rows: Sequence[Mapping[str, Any]],
        *,
        settings: Mapping[str, Any] | None = None,
        rollouts: Path | None = None,
    ) -> None:
        """
        Args:
            rows: lines of metrics.jsonl.
            settings: the run's resolved configuration; None where it is not known.
            rollouts: the folder of the rollout log; None: there are no examples.
        """
        self._all_rows, self._rows = rows, [row for row in rows if "time/step_s" in row]
        self._settings = settings or {}
        self.examples = Examples(rollouts)

    @property
    def num_steps(self) -> int:
        """Steps of training that were logged."""
        return len(self._rows)

    @property
    def step(self) -> int:
        """The last one of them."""
        return int(self._rows[-1]["step"]) if self._rows else 0

    def names(self, prefix: str) -> list[str]:
        """Return the metrics of training whose names begin with a prefix."""
        return sorted(name for name in set[str]().union(*self._rows) if name.startswith(prefix))

    def series(self, name: str, *, default: float | None = None) -> list[float]:
        """Return a metric, step after step, without what is no number. Lines without it have the default, or are left
        out."""
        values = [row.get(name, default) for row in self._rows]
        return [value for value in values if isinstance(value, int | float) and math.isfinite(value)]

    def recent(self, name: str, *, default: float | None = None) -> float | None:
        """Return the mean of the last steps; None where there are fewer."""
        return self._mean(self.series(name, default=default)[-WINDOW:])

    def early(self, name: str, *, default: float | None = None) -> float | None:
        """Return the mean of the first steps; None where there are fewer."""
        return self._mean(self.series(name, default=default)[:WINDOW])

    def until(self, name: str, step: float, *, default: float | None = None) -> float | None:
        """Return the mean of the last steps up to one; of the first steps where these are fewer."""
        known = sum(row["step"] <= step for row in self._rows)
        values = self.series(name, default=default)[
            : max(known, WINDOW)
        ]  # without a default some lines may be left out
        return self._mean(values[-WINDOW:])

    def evaluated(self, ending: str) -> list[str]:
        """Return the metrics of evaluations whose names end so, over all prompts of a set."""
        names = set[str]().union(*self._all_rows)
        return sorted(
            name
            for name in names
            if name.startswith("eval/") and name.endswith(ending) and not {"domain", "environment"} & {*name.split("/")}
        )

    def evaluations(self, name: str) -> list[Mapping[str, Any]]:
        """Return the lines of evaluations that have a metric, in the order of the versions that were evaluated."""
        found = [row for row in self._all_rows if isinstance(row.get(name), int | float) and math.isfinite(row[name])]
        return sorted(found, key=lambda row: row.get("policy_version", row["step"]))

    @property
    def pass_rate(self) -> float | None:
        """Share of the last responses that are right; None where no check says so. Dropped groups count, if the
        rollout log can be read."""
        if (rate := self.examples.pass_rate) is not None:
            return rate
        if not any(self.series(f"scoring/{label}")[-WINDOW:] for label in LABELS):
            return None
        return self.recent("scoring/correct", default=0.0)

    @property
    def learns_from_rewards(self) -> bool:
        """Say whether rewards decide what is learned: not so with a teacher in their place."""
        return not self.series("teacher/kl") or self.setting("algo.teacher.beside_rewards") is True

    def setting(self, key: str) -> Any:
        """Return the value of a key; None where it is not known."""
        value: Any = self._settings
        for name in key.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        return value

    def now(self, key: str) -> str:
        """Return a key with the value that it has, for a sentence: ``algo.group_size (now 8)``."""
        value = self.setting(key)
        return key if value is None or isinstance(value, Mapping | list) else f"{key} (now {_shown(value)})"

    @staticmethod
    def _mean(values: Sequence[float]) -> float | None:
        return fmean(values) if len(values) == WINDOW else None


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
