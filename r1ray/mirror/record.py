"""The record in a run folder of the state in the store that it comes from."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from r1ray.mirror.manifest import Manifest
from r1ray.mirror.scan import RECORD
from r1ray.runtime.files import write_json


@dataclass(frozen=True, slots=True)
class Record:
    """A folder's place in the history of its run."""

    address: str
    writer: str
    """The last writer that worked in it."""
    came_from: str
    """Writer of the manifest that was the newest when this one began; empty for none."""
    number: int = 0
    """Number of that manifest."""

    @classmethod
    def of(cls, folder: Path) -> Record | None:
        """Return what a folder says; None where it says nothing that can be read."""
        try:
            return cls(**json.loads((folder / RECORD).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, folder: Path) -> None:
        """Write it aside, then rename it."""
        write_json(folder / RECORD, asdict(self))

    def is_newest(self, address: str, found: Manifest | None) -> bool:
        """Tell if nobody has gone on from the folder's state elsewhere: the newest manifest is of the folder itself, or
        the one that the folder was copied from."""
        if self.address != address:
            return False
        if found is None:
            return not self.came_from
        return found.writer == self.writer or (found.writer, found.number) == (self.came_from, self.number)
