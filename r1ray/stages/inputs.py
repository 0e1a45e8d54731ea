"""Everything that the stages of a run read, looked at before the first of them begins, however late it is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from r1ray.data.files import find_files
from r1ray.errors import UserError
from r1ray.runtime.model_files import check_config, check_model, is_hub_name
from r1ray.runtime.user_paths import file_of, path_of
from r1ray.stages.base import ROWS, Input, Stage
from r1ray.stages.graph import GraphStage


def check_inputs(stages: Sequence[Stage], run_dir: Path) -> None:
    """Raise UserError where a path that a stage reads is not there, or not of its kind. Rows of a hub are downloaded.
    Models of a hub, and what other stages make, are looked at when their turn comes."""
    for stage in stages:
        for each in stage.reads():
            key = f"graph.{stage.name}.{each.key}" if isinstance(stage, GraphStage) else each.key
            is_local = "://" not in each.path
            if each.is_made:
                continue
            if each.kind in ROWS:
                find_files(each.path, key=key)
            if is_local and each.kind == "model":
                _check_model(each, key, run_dir, stage)
            elif is_local and path_of(each.path, key=key).is_dir():
                _check_outside(run_dir, path_of(each.path, key=key), key)
            elif is_local and each.kind == "file":
                file_of(each.path, key=key, needs="a file, or a folder")


def _check_model(each: Input, key: str, run_dir: Path, stage: Stage) -> None:
    folder = path_of(each.path, key=key)
    if not folder.is_dir():
        if folder.exists() or not is_hub_name(each.path):
            raise UserError(f"{key}={each.path}: no such folder; needs a Hugging Face model folder.")
        return
    named = f"{key}={each.path}"
    check_config(folder, named=named)
    _check_outside(run_dir, folder, key)
    if each.key.startswith("reward.models."):
        check_model(folder, named=named, kind="SequenceClassification", is_trained=False)
    elif each.key.startswith("algo.teacher."):
        check_model(folder, named=named, is_trained=False)
    elif each.key == "judge.model":  # engines know more kinds than transformers
        check_model(folder, named=named, kind="", is_trained=False)
    elif isinstance(stage, GraphStage):  # of a recipe of one stage the stage itself looks at it first of all
        check_model(folder, named=named, is_trained=stage.config.has_learner)


def _check_outside(run_dir: Path, folder: Path, key: str) -> None:
    if run_dir.is_relative_to(folder):
        raise UserError(
            f"output_dir: {run_dir} is inside of {key}={folder}, whose files must not change; needs another folder."
        )
