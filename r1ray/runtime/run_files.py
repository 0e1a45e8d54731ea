"""The files of a run's or stage's folder that are written before anything is made in it."""

from __future__ import annotations

from pathlib import Path

from r1ray.runtime.events import EVENTS

NOTES = {
    ".lock",
    "config.yaml",
    "begun.json",
    "inputs.json",
    "started.json",
    "digests.json",
    "status.json",
    ".mirror.json",
}
CURVES = "curves.png"
REPORT = "report.html"
"""The page that `r1ray report` makes of what is there."""
LOGS = "logs"
"""The folder of the logs and status files of a run's processes."""
TRACKERS = "trackers"
"""The folder of what trackers have got of a run."""
STAGES = "stages"
"""The folder of the manifests of a run's stages; of a recipe's stages, of all that they make."""
ARTIFACTS = "artifacts"
"""The folder of what several runs may use."""
DATA = "data"
"""The folder of the rows as they were read."""


def holds_work(folder: Path) -> bool:
    """Return if a folder has anything but notes of what was asked for, logs and rows as they were read. Without it, the
    folder belongs to nobody: whoever began it was refused, or ended, before there was a result."""
    return any(
        path.is_file()
        and path.stat().st_size > 0
        and not _is_note(path)
        and path.parent.name not in (DATA, LOGS, TRACKERS)
        and path.relative_to(folder).parts[0] != ARTIFACTS
        for path in folder.rglob("*")
    )


def name_of(folder: Path, *, stage: str) -> tuple[str, str]:
    """Return the names of the run and of the stage whose folder it is; a run of one stage has that in its own folder.

    >>> name_of(Path("runs/r1/stages/cold_start"), stage="sft")
    ('r1', 'cold_start')
    >>> name_of(Path("runs/mine"), stage="rl")
    ('mine', 'rl')
    """
    if folder.parent.name == STAGES:
        return folder.parent.parent.name, folder.name
    return folder.name, stage


def _is_note(path: Path) -> bool:
    return path.name in {*NOTES, REPORT} or (path.name.startswith(f"{Path(EVENTS).stem}.") and path.suffix == ".jsonl")
