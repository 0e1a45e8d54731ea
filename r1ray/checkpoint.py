"""Checkpoints on disk: written aside, then renamed, so that a folder that exists is whole.

checkpoints/<version>/controller.json    ledger and data position
checkpoints/<version>/learner/           what the learner saved
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from r1ray.ledger import LedgerState
from r1ray.types import Position

_STATE = "controller.json"
_ASIDE = ".writing-"


@dataclass(frozen=True, slots=True)
class LoopState:
    """Where a run stands, beside its learner."""

    version: int
    updates: int
    """Optimizer updates so far."""
    position: Position
    ledger: LedgerState


class Checkpoints:
    """The checkpoints of one run folder."""

    def __init__(self, folder: Path, *, keep: int) -> None:
        self._folder, self._keep = folder, keep

    def begin(self, version: int) -> Path:
        """An empty folder beside the others; the learner saves into its ``learner/``."""
        aside = self._folder / f"{_ASIDE}{version}"
        shutil.rmtree(aside, ignore_errors=True)
        (aside / "learner").mkdir(parents=True)
        return aside

    def commit(self, aside: Path, state: LoopState) -> Path:
        """Finish what :meth:`begin` began; the oldest beyond ``keep`` are removed."""
        (aside / _STATE).write_text(json.dumps(asdict(state)))
        final = self._folder / str(state.version)
        shutil.rmtree(final, ignore_errors=True)
        aside.rename(final)
        for version in self._versions()[: -self._keep]:
            shutil.rmtree(self._folder / str(version))
        return final

    def latest(self) -> tuple[Path, LoopState] | None:
        """The newest checkpoint's ``learner/`` folder and state, None where there is none."""
        versions = self._versions()
        if not versions:
            return None
        folder = self._folder / str(versions[-1])
        saved = json.loads((folder / _STATE).read_text())
        saved["position"] = Position(**saved["position"])
        return folder / "learner", LoopState(**saved)

    def _versions(self) -> list[int]:
        if not self._folder.is_dir():
            return []
        return sorted(int(path.name) for path in self._folder.iterdir() if path.name.isdigit())
