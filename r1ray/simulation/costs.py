"""Seconds of the loop's parts, as the simulation asks for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from r1ray.algo.batching import pack
from r1ray.planning.duration import (
    cached_sequences,
    decode_of,
    prefill_seconds,
    publish_seconds,
    reward_cores,
    updates_seconds,
)
from r1ray.planning.memory import Actor
from r1ray.planning.plan import Plan
from r1ray.planning.turns import SECTION

DAY_S = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """The actors that there are, and the time of each part."""

    num_engines: int
    places: int
    """Sequences that one engine generates at a time."""
    slots: int
    """Trajectories that one engine is given at a time."""
    decode_s: Callable[[float, float], float]
    """Seconds of a decode step of one engine, by its sequences and the tokens that they have in the cache."""
    prefill_s: Callable[[float], float]
    """Seconds in which one engine reads so many tokens."""
    learn_s: Callable[[Sequence[float], int], float]
    """Seconds of updates, by the tokens of each row and the number of updates."""
    publish_s: float
    hand_over_s: float | None = None
    """Seconds a step in which engines and learner change places on the same devices; None: each has its own."""
    score_s: float = 0.0
    """Seconds of one trajectory, on one core."""
    num_scorers: int = 1
    answer_s: float = 0.0
    """Mean, of an environment's answer to a turn."""
    restart_s: float = 0.0
    """Until a lost engine, or the learner, is up again."""
    engine_faults_s: float = math.inf
    """Mean time between two faults of one engine."""
    learner_faults_s: float = math.inf
    """Mean time between two faults of the learner group."""
    checkpoint_every: int = 1
    """Steps; a lost learner goes on from the last checkpoint. 0: from the start."""


def costs_of(plan: Plan) -> Costs:
    """Return the costs of a planned stage that learns by sampling."""
    config, shape, gpu, machines = plan.config, plan.shape, plan.gpu, plan.config.plan
    actor = engines_of(plan)
    batch, engine = plan.batch, config.rollout
    places = max(1, min(engine.max_num_seqs, int(cached_sequences(actor, shape, batch))))
    gpus_of_engine = max(actor.gpus, 1) if plan.num_gpus else 0
    per_token = prefill_seconds(
        engine, shape, gpu, machines, gpus=actor.gpus, tokens=1.0, context=batch.prompt_tokens / 2
    )
    faults_s = DAY_S / machines.faults_a_day if machines.faults_a_day else math.inf
    num_engines = config.rollout.num_actors
    ranks = config.learner.num_ranks if plan.num_gpus else 0
    return Costs(
        num_engines=num_engines,
        places=places,
        slots=engine.slots,
        decode_s=decode_of(engine, shape, gpu, machines, gpus=actor.gpus).seconds,
        prefill_s=lambda tokens: tokens * per_token,
        learn_s=lambda lengths, updates: _learn_seconds(plan, lengths, updates),
        publish_s=publish_seconds(config, shape, gpu, turns=plan.turns),
        hand_over_s=None if plan.turns is None else plan.turns.move_s,
        score_s=machines.score_s,
        num_scorers=max(1, int(reward_cores(config))),
        answer_s=machines.answer_s,
        restart_s=machines.restart_s,
        engine_faults_s=faults_s / gpus_of_engine if gpus_of_engine else math.inf,
        learner_faults_s=faults_s / ranks if ranks else math.inf,
        checkpoint_every=config.checkpoint.every,
    )


def engines_of(plan: Plan) -> Actor:
    """Return the engines among a plan's actors."""
    return next(actor for actor in plan.actors if actor.section in ("rollout", SECTION))


def _learn_seconds(plan: Plan, lengths: Sequence[float], updates: int) -> float:
    """Return the seconds of the updates on these rows, packed as the learner packs them: ranks wait for each other
    after every micro-batch."""
    learner = plan.config.learner
    shards, limit = learner.num_shards, max(learner.max_tokens_per_microbatch, math.ceil(max(lengths)))
    tokens, microbatches = 0.0, 0
    for part in np.array_split(np.ceil(np.asarray(lengths)).astype(int), updates):
        rows = part.tolist()
        by_rank = pack(rows, num_ranks=shards, max_tokens=limit)
        count = len(by_rank[0])
        fullest = [max(sum(rows[i] for i in ranks[k]) for ranks in by_rank) for k in range(count)]
        tokens += shards * sum(fullest)
        microbatches += count
    squares = float(np.square(lengths).sum())
    return updates_seconds(
        plan.config,
        plan.shape,
        plan.gpu,
        tokens=tokens,
        mean_length=squares / max(1.0, float(np.sum(lengths))),
        microbatches=microbatches,
        updates=updates,
        teachers=plan.teachers,
    )
