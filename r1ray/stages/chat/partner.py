"""The model that somebody talks to, and how it is asked and sampled: that of a folder, or of a run as the run has it.

MODEL | RUN_DIR --partner_of--> Partner: model folder, form, sampling, engine settings
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from r1ray.config import EvaluationConfig, RewardConfig, RewardPart, RunConfig
from r1ray.data.template import Form
from r1ray.errors import UserError
from r1ray.rollout.architectures import check_served
from r1ray.rollout.engine_arguments import check_engine_args
from r1ray.runtime.model_files import context_of, load_tokenizer, local_folder
from r1ray.runtime.user_paths import path_of
from r1ray.stages.export import checkpoints_of, exports_of, find_folder
from r1ray.stages.machine import placed_here
from r1ray.stages.model_form import carried_form
from r1ray.stages.resuming import read_config

logger = logging.getLogger(__name__)

CONFIG = "config.yaml"
TEMPERATURE, TOP_P, MAX_TOKENS = 0.6, 0.95, 2048
"""Sampling of a model that is of no run: as the paper evaluates."""
MAX_CONTEXT = 16384
"""Tokens of a conversation, where the model can read more: their keys and values take memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Partner:
    """A model to talk to."""

    model: str
    form: Form
    config: EvaluationConfig
    """Configuration of its engine; sampling too."""
    tokenizer: Any
    context: int
    """Tokens of question and answer together, or of a whole conversation."""

    def __str__(self) -> str:
        config = self.config
        return (
            f"{self.model}, asked with {self.form}; temperature {config.temperature:g}, top_p {config.top_p:g}, "
            f"at most {config.max_tokens} tokens"
        )


def partner_of(where: str, *, settings: dict[str, Any]) -> Partner:
    """Return the model of a folder or hub name, or the best or last model of a run's folder. Raises UserError.

    Args:
        settings: fields of EvaluationConfig in the place of what the run, or the paper, has.
    """
    folder = path_of(where, key="")
    is_run = folder.is_dir() and not (folder / "config.json").exists() and _settings_of(folder) is not None
    try:
        model, form, config = _of_run(folder) if is_run else _of_model(where)
        changed = {key: value for key, value in settings.items() if key not in ("template", "system_prompt")}
        config = replace(config, **changed)
        form = replace(form, **{key: settings[key] for key in ("template", "system_prompt") if key in settings})
        asked: dict[str, Any] = {"system_prompt": form.system_prompt, "suffix": form.suffix}
        config = replace(config, template=form.template, **asked)
    except ValueError as error:
        raise UserError(str(error)) from error
    tokenizer = load_tokenizer(model, template=form.template, is_trained=False)
    check_served(model)
    check_engine_args(config.rollout)
    context = min(context_of(model) or MAX_CONTEXT, MAX_CONTEXT)
    assert config.max_tokens is not None
    return Partner(
        model=model,
        form=form,
        config=replace(config, max_tokens=min(config.max_tokens, context - 1)),
        tokenizer=tokenizer,
        context=context,
    )


def _of_model(where: str) -> tuple[str, Form, EvaluationConfig]:
    """Return a model as it was tuned, where it says how; else by its chat template, and without one as it stands."""
    model = local_folder(where, key="model")
    form = carried_form(model)
    if form is None:
        tokenizer = load_tokenizer(model, template="none", is_trained=False)
        form = Form("chat" if tokenizer.chat_template else "none")
    config = EvaluationConfig(
        **_no_questions(model), temperature=TEMPERATURE, top_p=TOP_P, max_tokens=MAX_TOKENS, template=form.template
    )
    return model, form, config


def _of_run(folder: Path) -> tuple[str, Form, EvaluationConfig]:
    """Return the best model of a run, or its last one, in the run's form, with the sampling of its evaluations."""
    made = find_folder(folder, version=None, stage=None)
    versions = exports_of(made)
    if not versions:
        raise UserError(f"{folder}: has no model yet; r1ray export {made} makes one of its last checkpoint.")
    best = checkpoints_of(made).best()
    version = best if best in versions else max(versions)
    config = placed_here(_settings_of(made) or _settings_of(folder) or RunConfig())
    logger.info(f"{made.name}: the {'best' if version == best else 'last'} model, version {version}")
    model = str((made / "hf" / str(version)).resolve())
    asked = EvaluationConfig(
        **_no_questions(model),
        temperature=config.eval.temperature,
        top_p=config.eval.top_p,
        max_tokens=config.algo.max_completion_tokens,
        template=config.data.template,
        rollout=replace(config.rollout, num_actors=1),
        deadlines=config.deadlines,
    )
    return model, carried_form(model) or Form.of(config.data), asked


def _no_questions(model: str) -> dict[str, Any]:
    """Return what every evaluation has to have. Nothing of it is read here."""
    return {
        "model": model,
        "benchmarks": "prompts",
        "data": "none",
        "reward": RewardConfig(parts={"accuracy": RewardPart(weight=1.0)}),
    }


def _settings_of(folder: Path) -> RunConfig | None:
    """Return the settings of a run, or of the run that a stage is of."""
    found = next((each / CONFIG for each in (folder, folder.parent.parent) if (each / CONFIG).is_file()), None)
    return read_config(found) if found is not None else None
