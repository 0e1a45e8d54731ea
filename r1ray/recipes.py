"""Recipes: ordered lists of stages. Those of one are here, the order of several is a graph in ``conf/recipe/``."""

from __future__ import annotations

from collections.abc import Sequence

from r1ray.config import EvaluationConfig, RunConfig
from r1ray.errors import UserError
from r1ray.stages.base import Stage
from r1ray.stages.collect.stage import Collect, sampling_config
from r1ray.stages.evaluate.stage import Evaluate
from r1ray.stages.extend import Extend
from r1ray.stages.fine_tune import SupervisedTraining
from r1ray.stages.graph import GraphStage, graph_of
from r1ray.stages.prepare import Prepare
from r1ray.stages.rl import ReinforcementLearning
from r1ray.stages.students import with_students


def r1_zero(config: RunConfig) -> Stage:
    """DeepSeek-R1-Zero (paper section 2.2): reinforcement learning on a base model, nothing before it. With another
    reward, the reinforcement learning of 2.3.2 and 2.3.4."""
    return ReinforcementLearning(config)


def on_policy_distill(config: RunConfig) -> Stage:
    """On-policy distillation: what :func:`r1_zero` does, with a teacher in the place of rewards, or beside them. The
    paper distils by supervised fine-tuning (2.4)."""
    return ReinforcementLearning(config)


def sft(config: RunConfig) -> Stage:
    """Supervised fine-tuning: on a cold start's examples (2.3.1), on curated ones (2.3.3), or of a smaller model on
    those, which is distillation (2.4)."""
    return SupervisedTraining(config, objective="sft")


def reward_model(config: RunConfig) -> Stage:
    """A preference reward model (2.3.4): the Bradley-Terry loss on pairs of answers."""
    return SupervisedTraining(config, objective="preference")


def collect(config: RunConfig) -> Stage:
    """Examples for the cold start (2.3.1), or by rejection sampling (2.3.3)."""
    return Collect(config)


def extend(config: RunConfig) -> Stage:
    """The cold start's special token in tokenizer and embeddings (2.3.1)."""
    return Extend(config)


def evaluate(config: RunConfig) -> Stage:
    """Held-out metrics (section 3)."""
    return Evaluate(config)


RECIPES = {
    "r1_zero": r1_zero,
    "on_policy_distill": on_policy_distill,
    "sft": sft,
    "reward_model": reward_model,
    "collect": collect,
    "extend": extend,
    "evaluate": evaluate,
}


def stages_of(config: RunConfig) -> list[Stage]:
    """The stages of the configured recipe. Raises UserError."""
    prepare: list[Stage] = [Prepare(config.prepare, seed=config.seed)] if config.prepare.maker else []
    config = with_students(config)
    if config.stages is not None and not config.stages:
        raise UserError("stages=[]: needs at least one, or none of this key.")
    if config.graph:
        for stage in prepare:
            stage.makes = stage.name
        return [*prepare, *graph_of(config, build)]
    if config.stages is not None or config.artifacts:
        raise UserError(f"stages, artifacts: recipe={config.recipe} has one stage; these are of recipes with several.")
    return [*prepare, build(config)]


def build(config: RunConfig) -> Stage:
    """The stage of a recipe that has one."""
    return RECIPES[config.recipe](config)


def configs_by_name(config: RunConfig, stages: Sequence[Stage]) -> dict[str, RunConfig]:
    """The configuration of each stage of a graph; that of a recipe of one stage under an empty name."""
    return {stage.name: stage.config for stage in stages if isinstance(stage, GraphStage)} or {"": config}


def configs_of(config: RunConfig, stages: Sequence[Stage]) -> list[RunConfig | EvaluationConfig]:
    """What each of the stages asks the cluster for."""
    return [
        sampling_config(each) if each.only_samples else each
        for each in configs_by_name(config, stages).values()
        if each.starts_actors
    ]
