"""The part of a run that a tracker has: ``trackers/<name>.json`` in the run's folder, written by its helper alone."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from r1ray.runtime.own_process import write_whole
from r1ray.runtime.run_files import TRACKERS
from r1ray.telemetry.trackers.lines import Mark


@dataclass(slots=True)
class SentOfStage:
    """The part of one stage that it has got."""

    id: str = ""
    """Id of the stage's run in the tracker."""
    mark: Mark = field(default_factory=Mark)
    step: int = -1
    """The last one."""
    samples: list[int] = field(default_factory=list)
    """Steps whose answers it has."""
    models: list[int] = field(default_factory=list)
    """Steps whose model it knows."""

    def go_back(self, step: int) -> None:
        """Forget the steps after this one."""
        self.step = min(self.step, step)
        self.samples = [each for each in self.samples if each <= step]
        self.models = [each for each in self.models if each <= step]


class Sent:
    """The file, by stages."""

    def __init__(self, run_dir: Path, tracker: str) -> None:
        self._path = run_dir / TRACKERS / f"{tracker}.json"
        self._stages = {name: _stage(value) for name, value in _read(self._path).items()}

    def of(self, stage: str) -> SentOfStage:
        """Return what it has got of a stage, to be changed."""
        return self._stages.setdefault(stage, SentOfStage())

    def ids(self, stages: Iterable[str]) -> dict[str, str]:
        """Return the ids of those of some stages that have one."""
        return {name: self._stages[name].id for name in stages if name in self._stages and self._stages[name].id}

    def write(self) -> None:
        """Write the file."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self._path, {name: asdict(each) for name, each in self._stages.items() if each.id})


def _read(path: Path) -> dict[str, Any]:
    """Return what is in the file; nothing where it is torn: everything is sent once more then."""
    try:
        read = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}


def _stage(value: dict[str, Any]) -> SentOfStage:
    return SentOfStage(**{**value, "mark": Mark(**value["mark"])})
