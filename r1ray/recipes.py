"""Recipes: ordered lists of stages. The order is here, the numbers are in ``conf/``."""

from __future__ import annotations

from r1ray.config import RunConfig
from r1ray.errors import UserError
from r1ray.stages.base import Stage
from r1ray.stages.prepare import Prepare
from r1ray.stages.rl import ReinforcementLearning


def r1_zero(config: RunConfig) -> list[Stage]:
    """DeepSeek-R1-Zero (paper section 2.2): reinforcement learning on a base model, nothing before it."""
    prepare: list[Stage] = [Prepare(config.prepare, seed=config.seed)] if config.prepare.maker else []
    return [*prepare, ReinforcementLearning(config)]


RECIPES = {"r1_zero": r1_zero}


def stages_of(config: RunConfig) -> list[Stage]:
    """The stages of the configured recipe."""
    if config.recipe not in RECIPES:
        raise UserError(f"recipe={config.recipe}: needs one of {', '.join(RECIPES)}.")
    return RECIPES[config.recipe](config)
