"""The folders that a report reads: of each run those that have metrics or rollouts, with a name for each.

A run of one stage has its files in its own folder; of a recipe each stage has them below ``stages/``. A run may be
going on, or have been killed, or be older than this code: what is missing or torn is left out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1ray.errors import UserError
from r1ray.telemetry.settings import CONFIG

METRICS, ROLLOUTS, MANIFEST = "metrics.jsonl", "rollouts", "manifest.json"
LINEAGE, STATUS = "lineage.json", "status.json"
SIGNS = (METRICS, ROLLOUTS, CONFIG, LINEAGE, STATUS, MANIFEST)
"""A folder with one of these is that of a run or of a stage."""
KINDS = {"step": "training", "eval_step": "evaluation", "not_finite_step": "not finite"}
"""Kinds of rollouts, by the beginning of their files' names."""


@dataclass(frozen=True, slots=True)
class Part:
    """A folder with metrics or rollouts: a run's, or that of a recipe's stage."""

    run: int
    """Its run among those that were asked for."""
    name: str
    folder: Path


@dataclass(frozen=True, slots=True)
class RolloutFile:
    """The rows of one step, or of one evaluation."""

    part: int
    kind: str
    step: int
    path: Path


def find_runs(texts: Sequence[Path]) -> list[Path]:
    """Return the folders of runs. Raises UserError for what is none, and for one that is named twice."""
    for number, folder in enumerate(texts):
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; needs the folder of a run.")
        if not any((folder / sign).exists() for sign in SIGNS):
            raise UserError(f"{folder}: has none of {', '.join(SIGNS)}; needs the folder of a run.")
        if folder in texts[:number]:
            raise UserError(f"{folder}: is named twice; needs each run once.")
    return list(texts)


def names_of(folders: Sequence[Path]) -> list[str]:
    """Return the shortest ends of the paths that tell them apart, all of the same number of names."""
    for length in range(1, max(len(folder.parts) for folder in folders) + 1):
        names = ["/".join(folder.parts[-length:]) for folder in folders]
        if len(set(names)) == len(names):
            return names
    return [str(folder) for folder in folders]


def parts_of(runs: Sequence[Path]) -> list[Part]:
    """Return the parts of the runs, the stages of a recipe in the order in which they were begun."""
    parts = []
    for run, (folder, name) in enumerate(zip(runs, names_of(runs), strict=True)):
        if _has_steps(folder):
            parts.append(Part(run, name, folder))
        parts += [Part(run, f"{name} / {stage.name}", stage) for stage in stages_of(folder) if _has_steps(stage)]
    return parts


def stages_of(run: Path) -> list[Path]:
    """Return the folders of a run's stages, the one that was begun first before others."""
    folders = [path for path in (run / "stages").glob("*") if path.is_dir()]
    return sorted(folders, key=lambda folder: (_begun(folder), folder.name))


def rollout_files(parts: Sequence[Part]) -> list[RolloutFile]:
    """Return every file of rollouts, in the order of parts, kinds and steps."""
    return [
        RolloutFile(number, kind, int(path.stem.rpartition("=")[2]), path)
        for number, part in enumerate(parts)
        for name, kind in KINDS.items()
        for path in sorted((part.folder / ROLLOUTS).glob(f"{name}=*.parquet"))
        if path.stem.rpartition("=")[2].isdigit()
    ]


def object_in(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file; empty where there is no whole one."""
    try:
        value = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _has_steps(folder: Path) -> bool:
    return (folder / METRICS).is_file() or (folder / ROLLOUTS).is_dir()


def _begun(stage: Path) -> float:
    started = object_in(stage / MANIFEST).get("started")
    if isinstance(started, int | float):
        return float(started)
    return stage.stat().st_mtime
