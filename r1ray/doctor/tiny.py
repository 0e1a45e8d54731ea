"""The configuration of ``doctor --smoke``: the user's actors, places, dtypes and transport, with a small batch of a
tiny model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from r1ray.config import (
    AlgoConfig,
    CheckpointConfig,
    DataConfig,
    DeadlineConfig,
    EvalConfig,
    LearnerConfig,
    RewardPart,
    RunConfig,
)
from r1ray.config.router import RouterConfig
from r1ray.errors import UserError

MAKER = "r1ray.examples.smoke:make"
PARTS = {"accuracy": RewardPart(), "digits": RewardPart(function="r1ray.examples.smoke:digits")}
STEPS, GROUP_SIZE, MIN_PROMPTS = 2, 4, 8
MAX_PROMPT_TOKENS, MAX_COMPLETION_TOKENS = 16, 48
LR = 0.08
"""Learning rate times heads times layers, so that a step changes models of every size alike."""
BOUNDS = {"float32": 5e-3, "bfloat16": 0.1}
"""Largest difference between log-probabilities of a probe, nats, that counts as rounding. Measured on CPUs, with 2 to
16 heads and layers: 3e-6 in float32, 0.054 in bfloat16. A step changes them by one nat or more. An engine that keeps a
single matrix of the previous version differs by 0.13 or more, and one that keeps a single vector by 0.01 or more, which
only the float32 bound finds."""
PATIENCE_S = 300.0
"""Deadline of every wait of the run except the start, and of work in this process."""


def loop_config(stages: Mapping[str, RunConfig], *, recipe: str) -> RunConfig:
    """The configuration of the first stage that is reinforcement learning. Raises UserError where none is."""
    for config in stages.values():
        if config.has_learner and not config.only_learner:
            return config
    raise UserError(
        f"recipe={recipe}: has no reinforcement learning, of which --smoke makes two steps; needs recipe=r1_zero, or "
        "another recipe with such a stage."
    )


def tiny(config: RunConfig) -> RunConfig:
    """Shrink a run to two steps of a small batch; model and data are named later, by :func:`on`.

    The result keeps the sections cluster and rollout, the parallelism and dtype of learner, the turns that they take,
    the transport of weights, the actors of reward and eval, and the objective of algo. It has no preference models:
    those are the user's own. A teacher is the tiny model itself.
    """
    bound = bound_of(config.rollout.dtype, config.learner.dtype)
    return RunConfig(
        seed=config.seed,
        steps=STEPS,
        model="unnamed",
        data=DataConfig(train="unnamed", template="none", max_prompt_tokens=MAX_PROMPT_TOKENS),
        algo=_tiny_algo(config),
        rollout=config.rollout,
        reward=replace(config.reward, parts=dict(PARTS), models={}, combine="sum"),
        learner=_tiny_learner(config),
        weights=replace(config.weights, probe_every=1, probe_tolerance=bound, probe_kl=bound),
        eval=EvalConfig(num_actors=config.eval.num_actors),
        checkpoint=CheckpointConfig(every=0),
        deadlines=DeadlineConfig(config.deadlines.decided.start_s, *[PATIENCE_S] * 5),
        cluster=config.cluster,
        placement=config.placement,
        colocated=config.colocated,
        output_dir=config.output_dir,
    )


def _tiny_algo(config: RunConfig) -> AlgoConfig:
    """A batch in which every engine and every learner rank has something to do, and no sample is left out."""
    return replace(
        config.algo,
        group_size=GROUP_SIZE,
        prompts_per_step=max(MIN_PROMPTS, config.rollout.num_actors, -(-config.learner.num_ranks // GROUP_SIZE)),
        minibatches_per_step=1,
        max_completion_tokens=MAX_COMPLETION_TOKENS,
        mask_truncated=False,
        drop_uniform=False,
        teacher=replace(config.algo.teacher, model="unnamed" if config.algo.teacher.models else None, domains={}),
    )


def _tiny_learner(config: RunConfig) -> LearnerConfig:
    """A learner whose first step is as large as any other."""
    return replace(
        config.learner,
        weight_decay=0.0,
        schedule="constant",
        lr_floor=0.0,
        warmup_updates=0,
        max_restarts=0,  # what a restart helps against is what is looked for
        max_tokens_per_microbatch=1024,
        lora=replace(config.learner.lora, targets=None, export="merged"),
        router=RouterConfig(),  # the tiny model has no experts
    )


def bound_of(*dtypes: str) -> float:
    """The bound between log-probabilities that are computed in these dtypes."""
    return max(BOUNDS[dtype] for dtype in dtypes)


def on(config: RunConfig, base: Path, *, num_heads: int, num_layers: int) -> RunConfig:
    """The configuration with what :data:`MAKER` made in ``base``."""
    data = replace(config.data, train=str(base / "train.parquet"))
    learner = replace(config.learner, lr=LR / (num_heads * num_layers))
    model, teacher = str(base / "model"), config.algo.teacher
    algo = replace(config.algo, teacher=replace(teacher, model=model if teacher.models else None))
    return replace(config, model=model, data=data, learner=learner, algo=algo)


def model_options(config: RunConfig, *, has_gpus: bool) -> dict[str, int]:
    """Options of :data:`MAKER`: heads and layers that engines and sequence-parallel ranks can divide evenly."""
    sizes = config.rollout.parallel_sizes(config.rollout.num_gpus(has_gpus))
    return {
        "num_heads": math.lcm(2, sizes["tensor_parallel_size"], config.learner.sequence_parallel_size),
        "num_layers": max(2, sizes["pipeline_parallel_size"]),
        "num_prompts": config.steps * (1 + config.algo.max_staleness) * config.algo.prompts_per_step,
    }
