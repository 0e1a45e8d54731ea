"""Recipes: ordered lists of stages. The order is here, the numbers are in ``conf/``."""

from __future__ import annotations

from r1ray.config import RunConfig
from r1ray.errors import UserError
from r1ray.stages.base import Stage
from r1ray.stages.prepare import Prepare
from r1ray.stages.rl import ReinforcementLearning
from r1ray.stages.supervised import SupervisedTraining


def r1_zero(config: RunConfig) -> list[Stage]:
    """DeepSeek-R1-Zero (paper section 2.2): reinforcement learning on a base model, nothing before it."""
    return [*_prepare(config), ReinforcementLearning(config)]


def sft(config: RunConfig) -> list[Stage]:
    """Supervised fine-tuning: on a cold start's examples (2.3.1), on curated ones (2.3.3), or of a smaller model on
    those, which is distillation (2.4)."""
    return [*_prepare(config), SupervisedTraining(config, objective="sft")]


def reward_model(config: RunConfig) -> list[Stage]:
    """A preference reward model (2.3.4): the Bradley-Terry loss on pairs of answers."""
    return [*_prepare(config), SupervisedTraining(config, objective="preference")]


def _prepare(config: RunConfig) -> list[Stage]:
    return [Prepare(config.prepare, seed=config.seed)] if config.prepare.maker else []


RECIPES = {"r1_zero": r1_zero, "sft": sft, "reward_model": reward_model}


def stages_of(config: RunConfig) -> list[Stage]:
    """The stages of the configured recipe."""
    if config.recipe not in RECIPES:
        raise UserError(f"recipe={config.recipe}: needs one of {', '.join(RECIPES)}.")
    return RECIPES[config.recipe](config)
