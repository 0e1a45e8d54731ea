"""metrics.jsonl: one JSON object a step, appended and flushed as it happens."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path

WHOLE = ("step", "policy_version", "ledger/issued", "ledger/trained", "ledger/dropped", "ledger/in_flight")


def reward_parts(names: Iterable[str]) -> list[str]:
    """Of metric names those of the reward's named parts, in their order."""
    others = ("reward/mean", "reward/failed_parts", "reward/unscored")
    return [name for name in names if name.startswith("reward/") and name not in others]


class MetricsFile:
    """The metrics of one stage of a run."""

    def __init__(self, path: Path, *, stage: str) -> None:
        self.path, self._stage = path, stage
        path.parent.mkdir(parents=True, exist_ok=True)

    def append(self, metrics: dict[str, float]) -> None:
        """Write one line; counts as whole numbers, ``stage`` and the time (Unix seconds) added."""
        row: dict[str, object] = {name: int(value) if name in WHOLE else value for name, value in metrics.items()}
        with self.path.open("a") as file:
            file.write(json.dumps({"stage": self._stage, "wall_time": time.time(), **row}) + "\n")

    def read(self) -> list[dict[str, float]]:
        """Every whole line so far; a line that a crash cut off is left out."""
        if not self.path.exists():
            return []
        rows = []
        for line in self.path.read_text().splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:
                continue
        return rows

    def rewind(self, step: int) -> None:
        """Forget the lines after ``step``: a resumed run writes them again."""
        kept = [row for row in self.read() if row["step"] <= step]
        aside = self.path.with_suffix(".tmp")
        aside.write_text("".join(json.dumps(row) + "\n" for row in kept))
        aside.rename(self.path)
