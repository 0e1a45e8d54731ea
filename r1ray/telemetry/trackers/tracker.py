"""A tracker, as the helper feeds it: stage after stage, one at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from r1ray.config import TrackingConfig
from r1ray.runtime.run_files import TRACKERS

TABLE = "samples"
"""The name of the tables of answers."""
COLUMNS = ("prompt", "completion", "reward", "answer", "extracted", "label")


@dataclass(frozen=True, slots=True)
class Place:
    """The folder in which trackers keep what they keep on a disk, and what a user has said of them."""

    run_dir: Path
    settings: TrackingConfig

    @property
    def shared(self) -> Path:
        """The folder of what several runs share, beside the runs."""
        return self.run_dir.parent / TRACKERS


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of a run; each is a run in the tracker, and the stages of a run are one group there."""

    run: str
    name: str
    folder: Path
    config: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Stages whose models or rows it reads, with their ids in the tracker."""

    @property
    def title(self) -> str:
        """Its name in a list of runs."""
        return f"{self.run}/{self.name}"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of metrics.jsonl."""

    step: int
    wall_time: float
    """Unix seconds."""
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Samples:
    """Answers of an evaluation, one a prompt; rows as :data:`COLUMNS`."""

    step: int
    rows: Sequence[tuple[str, str, float | None, str, str, str]]


class Tracker(Protocol):
    """One tracker in a helper process. Its calls may take as long as they like, and raise what they like: the process
    is started again then, and goes on from what was sent before."""

    def begin(self, stage: Stage, id: str, *, sent: int) -> str:
        """Begin a stage's run, or go on with the one that has this id. Returns its id.

        Args:
            id: empty at the first time.
            sent: the last step that it has got for certain; what it has of later ones comes again. -1: none.
        """
        ...

    def log(self, lines: Sequence[Line]) -> None:
        """Take lines, in their order."""
        ...

    def go_back(self, step: int) -> None:
        """Take note that the steps after this one are undone, and will come again."""
        ...

    def show(self, samples: Samples) -> None:
        """Take the answers of an evaluation."""
        ...

    def note_model(self, step: int, folder: Path) -> None:
        """Take note of a model that was exported after a step."""
        ...

    def end(self) -> None:
        """End the stage's run: everything is sent, or written, when this returns."""
        ...
