"""Going on in a folder with other settings: what may change is told, what may not is refused, with another way."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from r1ray.config import RunConfig, changes
from r1ray.config.literal import literals
from r1ray.errors import UserError
from r1ray.loop.checkpoint import Checkpoints

logger = logging.getLogger(__name__)


def read_settings(path: Path) -> dict[str, Any]:
    """Return the configuration that a folder was begun with. Raises UserError where its file is torn."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        found = f"{error}".splitlines()[0]
    if not isinstance(found, dict) or not found:
        what = "is empty" if not found else f"holds no settings ({str(found)[:80]})"
        raise UserError(
            f"{path}: {what}. Remove it, and the same command goes on with its own settings; checkpoints of others are "
            "still refused."
        )
    return found


@cache
def defaults() -> DictConfig:
    """Return every key with its default, made once: nobody changes it, and ``OmegaConf.merge`` copies it."""
    made: DictConfig = OmegaConf.structured(RunConfig, flags={"allow_objects": True})
    return made


def read_config(path: Path) -> RunConfig:
    """Return the configuration that a folder was begun with, as a run has it. Raises UserError where its file is torn,
    or of a version with other keys."""
    settings = literals(read_settings(path))
    try:
        made = OmegaConf.to_object(OmegaConf.merge(defaults(), settings))
    except (OmegaConfBaseException, ValueError) as error:
        raise UserError(
            f"{path}: {str(error).splitlines()[0].rstrip('.')}; needs the settings of a run of this version of r1ray."
        ) from error
    assert isinstance(made, RunConfig)
    return made


def check_changes(
    folder: Path, before: Mapping[str, Any], now: Mapping[str, Any], *, named: str, way_out: str = "Give another name."
) -> None:
    """Say in one line what has changed since a folder was begun. Raises UserError where that decides what is learned.

    Args:
        named: what messages call the folder.
        way_out: what to do where it is refused.
    """
    found = [each for each in changes(before, now) if not each.key.startswith("graph.")]  # each stage looks for itself
    refused = [str(each) for each in found if each.refused is not None]
    if refused:
        more = f" and {len(refused) - 3} more" if len(refused) > 3 else ""
        raise UserError(
            f"{named}: {folder} holds a run with other settings: {', '.join(refused[:3])}{more}. {way_out}"
            f"{from_weights(folder)}"
        )
    shown = [f"{each.key} {each.before} -> {each.now}" for each in found]
    if shown:
        logger.info(f"{named}: goes on with other settings: {', '.join(shown)}")


def from_weights(folder: Path) -> str:
    """Return a sentence that says how another run starts from what a folder has learned; empty where that is
    nothing."""
    saved = [(path.stat().st_mtime, path, step) for path, step in _newest(folder)]
    if not saved:
        return ""
    _, found, step = max(saved)
    model = found / "hf" / str(step)
    made = "" if model.is_dir() else f"r1ray export {found} version={step}, then "
    return f" To start from its weights: {made}model={model} name=ANOTHER."


def _newest(folder: Path) -> list[tuple[Path, int]]:
    """The newest step of a run, and of each of its stages, that has a model or a checkpoint."""
    found = []
    for each in (folder, *folder.glob("stages/*")):
        models = [int(path.name) for path in each.glob("hf/*") if path.name.isdigit()]
        steps = [*models, *Checkpoints(each / "checkpoints", keep=1).versions()]
        if steps:
            found.append((each, max(steps)))
    return found
