"""Checkpoints on disk: written aside, then renamed, so that every numbered folder was complete when it appeared.

checkpoints/<step>/manifest.json         format, size and checksum of every file, and held-out metrics
checkpoints/<step>/controller.json       step, policy version, ledger and data position
checkpoints/<step>/learner/              files saved by the learner
checkpoints/best.json                    the checkpoint that is kept for its metric

Users name a checkpoint, and the model exported from it, by its step. ``.writing-<step>`` is being written and
``.removing-<step>`` is being removed; leftovers of a killed process are deleted. Whenever the process is killed, the
newest numbered folder is complete.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from r1ray.data.position import Position
from r1ray.errors import UserError
from r1ray.loop.ledger import LedgerState
from r1ray.runtime.files import ASIDE, REMOVING, move_away, put_in_place, read_object, write_json

_STATE, _MANIFEST, _BEST = "controller.json", "manifest.json", "best.json"
_BLOCK, _MAX_BLOCKS = 1 << 17, 64
FORMAT = 2
"""Format of checkpoints and of the run folders around them; raised when a run cannot be resumed from an earlier format.
Format 1, which is not marked with a number, is from before group workers and trajectories; its rollout log and batches
differ."""


@dataclass(frozen=True, slots=True)
class LoopState:
    """State of a run, beside its learner."""

    step: int
    """Steps that the weights have made."""
    version: int
    """Policy version of the weights. It is ahead of the step in a run whose learner was restarted: the steps are made
    again, and no version number is used for two sets of weights."""
    updates: int
    """Optimizer updates so far."""
    position: Position
    ledger: LedgerState
    curriculum: dict[str, Any] = field(default_factory=dict)
    """State of the prompt order beside the position; empty if the position says everything."""


class Checkpoints:
    """The checkpoints of one run folder."""

    def __init__(self, folder: Path, *, keep: int, best: str | None = None) -> None:
        """
        Args:
            keep: number of newest checkpoints that are kept.
            best: name of a metric; the checkpoint with its highest value is kept, too.
        """
        self.folder = folder
        self._keep, self._metric = keep, best

    def begin(self, version: int) -> Path:
        """Return an empty folder beside the others; the learner saves into its ``learner/``. Only one at a time."""
        aside = self.folder / f"{ASIDE}{version}"
        shutil.rmtree(aside, ignore_errors=True)
        (aside / "learner").mkdir(parents=True)
        return aside

    def commit(self, aside: Path, state: LoopState, *, metrics: Mapping[str, float] | None = None) -> Path:
        """Complete the checkpoint that :meth:`begin` began, once the learner has written every file.

        Args:
            metrics: held-out metrics of this version, if it was evaluated.
        """
        (aside / _STATE).write_text(json.dumps(asdict(state)))
        files = {str(path.relative_to(aside)): _look_at(path) for path in _files(aside)}
        write_json(aside / _MANIFEST, {"format": FORMAT, "files": files, "metrics": dict(metrics or {})})
        final = self.folder / str(state.step)
        put_in_place(aside, final)
        self.tidy()
        return final

    def give_up(self, aside: Path) -> None:
        """Remove the folder that :meth:`begin` made."""
        shutil.rmtree(aside, ignore_errors=True)

    def num_bytes(self) -> int:
        """Return the size of the newest checkpoint; 0 if there is none."""
        versions = self.versions()
        return sum(path.stat().st_size for path in _files(self.folder / str(versions[-1]))) if versions else 0

    def latest(self) -> tuple[Path, LoopState] | None:
        """Return the newest checkpoint's ``learner/`` folder and state, or None if there is none. Raises UserError if
        the checkpoint is torn or of another format."""
        versions = self.versions()
        if not versions:
            return None
        folder = self.folder / str(versions[-1])
        rest = f"go on from version {versions[-2]}" if len(versions) > 1 else "begin again"
        if fault := _fault(folder):
            raise UserError(f"checkpoint {folder} is torn: {fault}. Remove the folder to {rest}.")
        if (found := _format(folder)) != FORMAT:
            run = self.folder.parent
            raise UserError(
                f"checkpoint {folder} has format {found}, needs {FORMAT}: another version of r1ray wrote it, and its "
                f"run cannot be resumed; start one from its weights with model={run}/hf/{folder.name} and another name "
                f"(r1ray export {run} version={folder.name} writes them if they do not exist)."
            )
        try:
            return folder / "learner", _state_of(json.loads((folder / _STATE).read_text()))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"checkpoint {folder}: {_STATE} is not the state of a run ({error!r}). Remove the folder to {rest}."
            ) from error

    def learner_of(self, version: int) -> Path:
        """Return the ``learner/`` folder of a version's checkpoint. Raises UserError, which names the available
        versions, if that version has none, or a torn one."""
        versions = self.versions()
        there = f"there are those of versions {', '.join(map(str, versions))}" if versions else "there is none"
        if version not in versions:
            raise UserError(f"version={version}: {self.folder} has no checkpoint of it; {there}.")
        folder = self.folder / str(version)
        if fault := _fault(folder):
            raise UserError(f"checkpoint {folder} is torn: {fault}; {there}.")
        return folder / "learner"

    def best(self) -> int | None:
        """Return the version that is kept for its metric, as noted by :meth:`tidy`, or None. Raises UserError if the
        note is torn."""
        note = self.folder / _BEST
        if not note.exists():
            return None
        way_out = "Resuming the run writes it again; or remove it, and name the version"
        version = read_object(note, way_out=way_out).get("version")
        if not isinstance(version, int):
            raise UserError(f"{note}: names no version. {way_out}.")
        return version if version in self.versions() else None

    def tidy(self) -> None:
        """Note which checkpoint is best. Remove all that are neither among the newest nor the best, and the leftovers
        of killed processes. Must not run while a checkpoint is being written."""
        versions = self.versions()
        best = self._find_best(versions)
        if best is not None:
            write_json(self.folder / _BEST, {"version": best[0], "metric": self._metric, "value": best[1]})
        elif self._metric is not None:
            (self.folder / _BEST).unlink(missing_ok=True)  # left from checkpoints that are gone
        for version in versions[: -self._keep]:
            if best is None or version != best[0]:
                self._remove(version)
        for left in [*self.folder.glob(f"{ASIDE}*"), *self.folder.glob(f"{REMOVING}*")]:
            shutil.rmtree(left)

    def _find_best(self, versions: list[int]) -> tuple[int, float] | None:
        """Return version and value of the best checkpoint; the earliest of several equal ones. The metrics are stored
        in the checkpoints themselves, and the best is never removed, so it is found again after any restart."""
        if self._metric is None:
            return None
        metrics = {version: _metrics(self.folder / str(version)).get(self._metric) for version in versions}
        rated = [(version, value) for version, value in metrics.items() if value is not None and value == value]
        return max(rated, key=lambda pair: pair[1], default=None)

    def _remove(self, version: int) -> None:
        """Rename the folder, then remove it: a numbered folder is never half removed."""
        shutil.rmtree(move_away(self.folder / str(version)))

    def versions(self) -> list[int]:
        """Return the versions that have a checkpoint, in order."""
        if not self.folder.is_dir():
            return []
        return sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdigit())


def _fault(folder: Path) -> str | None:
    """Return the fault of a checkpoint: the file, the value found and the value needed. None if there is no fault."""
    try:
        files = json.loads((folder / _MANIFEST).read_text())["files"]
        needed = {str(name): {key: needs[key] for key in ("bytes", "checksum")} for name, needs in files.items()}
    except FileNotFoundError:
        return f"{_MANIFEST} is missing"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"{_MANIFEST} cannot be read"
    if _STATE not in needed:
        return f"{_MANIFEST} does not name {_STATE}"
    for name, needs in needed.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing, needs {needs['bytes']} bytes"
        if path.stat().st_size != needs["bytes"]:
            return f"{name} has {path.stat().st_size} bytes, needs {needs['bytes']}"
        if (found := _look_at(path)["checksum"]) != needs["checksum"]:
            return f"{name} has other contents, checksum {found}, needs {needs['checksum']}"
    return None


def _state_of(saved: dict[str, Any]) -> LoopState:
    """Return the state that a file holds. Raises ValueError, KeyError, TypeError or AttributeError if it holds no valid
    state."""
    ledger = saved["ledger"]
    numbers = (saved["version"], saved["updates"], ledger["issued"], ledger["trained"], *ledger["dropped"].values())
    if not all(isinstance(each, int) for each in numbers) or not isinstance(ledger["in_flight"], list):
        raise ValueError("a number is invalid")
    saved["position"] = Position(**saved["position"])
    saved.setdefault("step", saved["version"])  # saved by an earlier format, without restarts
    return LoopState(**saved)


def _metrics(folder: Path) -> dict[str, float]:
    """Return the metrics of a checkpoint; none if it is torn, because loading reports that."""
    try:
        metrics = json.loads((folder / _MANIFEST).read_text())["metrics"]
        return {name: value for name, value in metrics.items() if isinstance(value, float | int)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _format(folder: Path) -> int:
    """Return the format of a checkpoint that is not torn."""
    found: int = json.loads((folder / _MANIFEST).read_text()).get("format", 1)
    return found


def _look_at(path: Path) -> dict[str, Any]:
    """Return size and checksum of a file.

    Files of more than 8 MiB are read at 64 evenly spread places, including the first and the last block. That shows
    what tears a file (a missing end, stretches that never reached the disk), and a checkpoint of terabytes is checked
    in seconds. A flipped bit elsewhere is left to the checksums that torch keeps inside its files.
    """
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        size = path.stat().st_size
        last = max(size - _BLOCK, 0)
        num_blocks = min(_MAX_BLOCKS, -(-size // _BLOCK))
        for index in range(num_blocks):
            file.seek(last * index // max(num_blocks - 1, 1))
            digest.update(file.read(_BLOCK))
    return {"bytes": size, "checksum": digest.hexdigest()}


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
