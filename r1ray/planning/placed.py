"""``placement``, decided by the GPUs that there are."""

from __future__ import annotations

from dataclasses import replace

from r1ray.config import RunConfig
from r1ray.errors import UserError


def with_placement(config: RunConfig, *, num_gpus: float) -> RunConfig:
    """Return the configuration with ``placement`` decided: one GPU is for both, a learner rank and an engine, in turn.
    Of a recipe of several stages it is decided for all of them.

    Raises UserError where they cannot take turns.
    """
    is_open = config.placement is None and (bool(config.graph) or is_reinforcement(config))
    if not is_open or num_gpus != 1 or not _takes_one_gpu_each(config):
        return config
    try:
        return replace(config, placement="colocated")
    except ValueError as error:
        raise UserError(f"there is one GPU, which learner and engine can only use in turn: {error}") from error


def takes_turns(config: RunConfig) -> bool:
    """Return whether an engine and a learner share devices."""
    return config.is_colocated and is_reinforcement(config)


def is_reinforcement(config: RunConfig) -> bool:
    """Return whether the recipe has both a learner and engines."""
    return config.has_learner and not config.only_learner


def _takes_one_gpu_each(config: RunConfig) -> bool:
    learner, rollout = config.learner, config.rollout
    ranks = learner.num_ranks * (1 if learner.gpus_per_rank is None else learner.gpus_per_rank)
    return ranks == 1 == rollout.num_actors * rollout.num_gpus(True)
