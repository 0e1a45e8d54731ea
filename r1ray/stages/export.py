"""Hugging Face folders of a run's checkpoints, made in this process: no GPU, no Ray, whatever ranks the run had.

RUN_DIR [stage] --find_folder--> the folder that has checkpoints --export_checkpoint--> hf/<version>/
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from r1ray.errors import R1RayError, UserError
from r1ray.loop.checkpoint import Checkpoints
from r1ray.runtime.files import written_aside
from r1ray.stages.model_form import form_of_settings, write_form
from r1ray.stages.resuming import read_settings
from r1ray.stages.training import STARTED

logger = logging.getLogger(__name__)

BEST, ADAPTER_CONFIG = "best", "adapter_config.json"


def find_folder(run_dir: Path, *, version: int | str | None, stage: str | None) -> Path:
    """Return the folder of a run, a stage or a recipe in which what is asked for lies: of a recipe's, that of the
    newest stage that has it. Raises UserError.

    Args:
        version: one of them, ``best``, or None: any.
        stage: look into this stage's folder only.
    """
    within = folders_of(run_dir, stage=stage)
    having = [folder for folder in within if checkpoints_of(folder).versions() or exports_of(folder)]
    if not having:
        raise UserError(
            f"{run_dir}: has no checkpoint; a run writes them every checkpoint.every steps, and at its end."
        )
    wanted = [folder for folder in having if _has(folder, version)]
    return max(wanted or having, key=lambda folder: max(path.stat().st_mtime for path in _made(folder)))


def folders_of(run_dir: Path, *, stage: str | None) -> list[Path]:
    """Return the folders in which a run's files may lie: its own, and those of its stages. Raises UserError.

    Args:
        stage: this one's only.
    """
    if not run_dir.is_dir():
        raise UserError(f"{run_dir}: no such folder; needs that of a run, or of a stage of it.")
    if stage is not None and not (run_dir / "stages" / stage).is_dir():
        names = ", ".join(sorted(path.name for path in run_dir.glob("stages/*"))) or "none, for it has no stages"
        raise UserError(f"stage={stage}: {run_dir} has no such stage; needs one of {names}.")
    # A run of one recipe has its checkpoints beside its stages/, a recipe of several has them in each stage's folder.
    if stage is None:
        return [run_dir, *run_dir.glob("stages/*")]
    own = run_dir / "stages" / stage
    return [own, run_dir] if (own / STARTED).exists() else [own]


def export_checkpoint(
    folder: Path,
    *,
    version: int | str | None,
    out: Path | None,
    kind: str | None,
) -> Path:
    """Make a model folder of a checkpoint; one that is there already is kept. Returns its path. Raises UserError.

    Args:
        folder: as of :func:`find_folder`.
        version: of the checkpoint; ``best``: that which ``checkpoint.best`` keeps; None: the newest.
        out: where to; None: ``hf/<version>`` in ``folder``.
        kind: as ``learner.lora.export``; None: as the run has it.
    """
    checkpoints = checkpoints_of(folder)
    if version == BEST:
        version = checkpoints.best()
        if version is None:
            raise UserError(f"version=best: {folder} keeps no best checkpoint; a run does with checkpoint.best=FIGURE.")
    number = max(checkpoints.versions() or exports_of(folder)) if version is None else int(version)
    final = (folder / "hf" / str(number)) if out is None else out
    if final.exists():
        if out is not None:
            raise UserError(f"--out={out}: is there already; needs a folder that is not.")
        found = "adapter" if (final / ADAPTER_CONFIG).exists() else "merged"
        if kind is not None and found != kind:
            raise UserError(f"{final} is there already, with learner.lora.export={found}; needs --out DIR beside it.")
        logger.info(f"version {number} is exported already")
        return final
    os.environ.setdefault("DS_ACCELERATOR", "cpu")  # DeepSpeed else says what it lacks
    from safetensors import SafetensorError
    from transformers.utils import logging as transformers_logging

    from r1ray.learner.export import export_saved
    from r1ray.learner.state import SETTINGS

    transformers_logging.disable_progress_bar()
    try:
        checkpoint = checkpoints.learner_of(number)
        if not (checkpoint / SETTINGS).is_dir():
            raise UserError(f"{checkpoint}: has no {SETTINGS}/, the model's settings; an older r1ray wrote it.")
        if kind == "adapter" and not (checkpoint / SETTINGS / ADAPTER_CONFIG).exists():
            raise UserError(f"learner.lora.export=adapter: {checkpoint} is of a run without adapters; needs merged.")
        with written_aside(final) as aside:
            export_saved(checkpoint, aside, as_adapter=(kind or _kind_of_run(folder)) == "adapter")
            if (form := form_of_settings(_settings_of_run(folder))) is not None:
                write_form(aside, form)
    except (OSError, SafetensorError) as error:  # the disk is full; or a run removed the checkpoint meanwhile
        raise R1RayError(f"the export of version {number} of {folder} to {final} failed: {error}") from error
    logger.info(f"version {number}, from {checkpoint}")
    return final


def checkpoints_of(folder: Path) -> Checkpoints:
    """Return those of a run's or stage's folder."""
    return Checkpoints(folder / "checkpoints", keep=1)


def exports_of(folder: Path) -> list[int]:
    """Return the versions of a run's or stage's folder that are model folders."""
    return [int(path.name) for path in folder.glob("hf/*") if path.name.isdigit()]


def _made(folder: Path) -> list[Path]:
    numbered = [*folder.glob("checkpoints/*"), *folder.glob("hf/*")]
    return [path for path in numbered if path.name.isdigit()]


def _has(folder: Path, version: int | str | None) -> bool:
    if version == BEST:
        return checkpoints_of(folder).best() is not None
    return version is None or version in checkpoints_of(folder).versions() or version in exports_of(folder)


def _kind_of_run(folder: Path) -> str:
    """``merged`` or ``adapter``, as the run's configuration says."""
    lora = (_settings_of_run(folder).get("learner") or {}).get("lora") or {}
    return str(lora.get("export", "merged")) if lora.get("rank") else "merged"


def _settings_of_run(folder: Path) -> dict[str, Any]:
    config = folder / "config.yaml"
    return read_settings(config) if config.is_file() else {}
