"""Seconds of a step: rooflines with the efficiencies that :class:`r1ray.config.PlanConfig` assumes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from r1ray.config import LearnerConfig, PlanConfig, RolloutConfig, RunConfig
from r1ray.planning.batch import Batch
from r1ray.planning.gpus import Gpu, together
from r1ray.planning.memory import DTYPE_BYTES, MAX_LOGITS, Actor, has_reference, published_bytes
from r1ray.planning.shapes import Shape
from r1ray.planning.turns import Turns

PUBLISH_S = 0.07
"""What a publish takes beside its bytes: pausing, checking and resuming the engines."""
PER_UPDATE_S = 2e-3
"""What an optimizer update costs beside its arithmetic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Seconds of an average step, and what makes it so long."""

    generate: float = 0.0
    score: float = 0.0
    learn: float = 0.0
    publish: float = 0.0
    hand_over: float = 0.0
    """Seconds of engines and learner that take turns: to move what leaves and comes back."""
    total: float
    bottleneck: str
    concurrency: float = 0.0
    """Sequences that one engine generates at a time."""
    tokens_per_s: float = 0.0
    """Generated, by all engines."""


def learner_flops(
    config: RunConfig, shape: Shape, *, tokens: float, mean_length: float, teachers: Sequence[Shape] = ()
) -> float:
    """Of all ranks, for ``tokens`` trained tokens in sequences of ``mean_length``. Several teachers read as many of
    them each.

    Forward once and backward twice that; once more with gradient checkpointing, and for the reference; once more of all
    minibatches but the first where log pi_old is the learner's own; the output layer once more where its logits are
    computed in chunks.
    """
    forward = shape.forward_flops(tokens, context=mean_length / 2)
    passes = 3.0 + config.learner.gradient_checkpointing
    if not config.only_learner:
        passes += has_reference(config) or bool(config.learner.lora.rank and config.algo.kl_coefficient)
        passes += config.algo.is_old_recomputed * (1 - 1 / config.algo.minibatches_per_step)
    if config.learner.lora.rank:
        passes -= 1  # frozen weights have no gradients
    is_chunked = config.learner.max_tokens_per_microbatch * shape.vocabulary > MAX_LOGITS
    again = 2.0 * tokens * shape.embedding_parameters if is_chunked else 0.0
    read = [teacher.forward_flops(tokens / len(teachers), context=mean_length / 2) for teacher in teachers]
    return passes * forward + again + sum(read)


def learn_seconds(config: RunConfig, shape: Shape, batch: Batch, gpu: Gpu, *, teachers: Sequence[Shape] = ()) -> float:
    """All updates of a step, on all ranks together."""
    learner, plan = config.learner, config.plan
    mean_length = batch.tokens_per_sequence
    flops = learner_flops(config, shape, tokens=batch.trained_tokens, mean_length=mean_length, teachers=teachers)
    threads = together(gpu, learner.threads)
    compute = flops / (learner.num_ranks * threads * gpu.flops * plan.learn_efficiency)
    size = DTYPE_BYTES[learner.dtype]
    collectives = 0.0
    if learner.num_ranks > 1:
        bandwidth = _bandwidth(learner, plan, gpu)
        whole = shape.parameters * size / bandwidth
        # ZeRO 3 gathers the weights for every pass and reduces gradients after every micro-batch; the other stages
        # reduce as often, and gather once an update.
        gathers = 2 + has_reference(config) if learner.zero_stage == 3 else 0
        collectives = batch.microbatches * (gathers + 1) * whole + batch.updates * whole * (learner.zero_stage < 3)
        if learner.zero_stage == 3:
            collectives += batch.microbatches * sum(teacher.parameters for teacher in teachers) * size / bandwidth
    state = shape.parameters * (16 + 2 * size) / (learner.num_ranks if learner.stage_in_use else 1)
    bandwidth = 20e9 if learner.offload_optimizer else gpu.bandwidth * threads
    update = batch.updates * (state / bandwidth + PER_UPDATE_S)
    return compute + collectives + update


def _bandwidth(learner: LearnerConfig, plan: PlanConfig, gpu: Gpu) -> float:
    """Bytes of a whole tensor that reach every rank in a second."""
    is_one_node = learner.num_ranks <= plan.gpus_per_node
    return (gpu.link if is_one_node else min(gpu.link, gpu.node_network)) * plan.network_efficiency


def decode_seconds(
    engine: RolloutConfig, shape: Shape, gpu: Gpu, plan: PlanConfig, *, gpus: int, sequences: float, context: float
) -> float:
    """One decode step of an engine: weights and cache are read once, and every sequence is multiplied. The stages of a
    pipeline work on a share of the sequences each, one after the other on every share."""
    size = DTYPE_BYTES[engine.dtype]
    parts, stages = engine.parallel_sizes(gpus).values()
    sequences = max(1.0, sequences / stages)
    threads = together(gpu, engine.threads)
    touched = shape.parameters - shape.embedding_parameters * (not shape.tied)
    if shape.experts:
        share = 1 - (1 - shape.experts_per_token / shape.experts) ** sequences
        touched -= int((1 - share) * shape.expert_layers * shape.expert_parameters)
    weights = touched * (1 if shape.is_fp8 else size)
    cache = sequences * context * shape.cache_values * size
    read = (weights + cache) / (parts * threads * gpu.bandwidth)
    compute = shape.forward_flops(sequences, context=context) / (parts * threads * gpu.flops)
    return max(read, compute) / plan.generate_efficiency + gpu.step_s + sequences * gpu.sequence_s


def generation(
    engine: RolloutConfig, actor: Actor, shape: Shape, gpu: Gpu, plan: PlanConfig, batch: Batch
) -> tuple[float, float]:
    """Seconds until ``batch.completions`` are there, and sequences at a time on one engine."""
    mean = batch.prompt_tokens + (batch.completion_tokens + batch.context_tokens) / 2
    held = actor.metrics["cache_tokens"] / max(mean + shape.state_tokens, 1.0)
    own = batch.completions / actor.count
    sequences = max(1.0, min(engine.max_num_seqs, own, held))
    step = decode_seconds(engine, shape, gpu, plan, gpus=actor.gpus, sequences=sequences, context=mean)
    # A prompt is read once a group: the others find it in the cache. So is a history, by the turns after it.
    read = batch.prompts * batch.prompt_tokens / actor.count + own * batch.context_tokens
    threads = together(gpu, engine.threads)
    prefill = shape.forward_flops(read, context=batch.prompt_tokens / 2) / (
        max(1, actor.gpus) * threads * gpu.flops * plan.generate_efficiency
    )
    return own * batch.completion_tokens / sequences * step + prefill, sequences


def step_seconds(
    config: RunConfig,
    shape: Shape,
    batch: Batch,
    gpu: Gpu,
    *,
    engines: Actor | None,
    turns: Turns | None = None,
    teachers: Sequence[Shape] = (),
) -> Step:
    """An average step of a recipe that trains.

    Args:
        teachers: of ``algo.teacher``, each once.
        turns: of engines and learner on the same devices.
    """
    plan = config.plan
    learn = learn_seconds(config, shape, batch, gpu, teachers=teachers)
    if engines is None:
        return Step(learn=learn, total=learn, bottleneck="learn")
    generate, sequences = generation(config.rollout, engines, shape, gpu, plan, batch)
    answered = batch.turns * plan.answer_s if batch.turns > 1 else 0.0  # of one trajectory; others have turns meanwhile
    if config.algo.max_staleness == 0:
        # A synchronous step ends with its longest completion, which then is alone on its engine.
        alone = decode_seconds(
            config.rollout,
            shape,
            gpu,
            plan,
            gpus=engines.gpus,
            sequences=max(1.0, sequences / 4),
            context=batch.prompt_tokens + batch.longest_completion / 2,
        )
        generate = max(generate, batch.longest_completion * alone + answered)
    else:
        generate = max(generate, answered)
    score = batch.completions * plan.score_s / reward_cores(config)
    publish = publish_seconds(config, shape, gpu, turns=turns)
    rolled, hand_over = max(generate, score), turns.move_s if turns else 0.0
    parts = {"generate": generate, "score": score, "learn": learn, "publish": publish, "hand_over": hand_over}
    if config.algo.max_staleness == 0:
        total = rolled + learn + publish + hand_over
        bottleneck = max(parts, key=lambda name: parts[name])
    else:
        total = max(rolled, learn) + publish
        bottleneck = max(("generate", "score", "learn"), key=lambda name: parts[name])
    tokens = batch.completions * batch.completion_tokens / generate if generate else math.inf
    return Step(**parts, total=total, bottleneck=bottleneck, concurrency=sequences, tokens_per_s=tokens)


def reward_cores(config: RunConfig) -> float:
    """CPUs that score at a time."""
    return config.reward.num_actors * max(config.reward.cpus_per_actor, 1.0)


def publish_seconds(config: RunConfig, shape: Shape, gpu: Gpu, *, turns: Turns | None = None) -> float:
    """One broadcast from rank 0 to all engines, and under ZeRO 3 gathering what is sent. On GPUs that both share the
    weights stay in each GPU's memory."""
    sent = published_bytes(config, shape)
    one_gpu = gpu.node_network / (config.plan.gpus_per_node if gpu.name != "cpu" else 1)
    seconds = sent / (one_gpu * config.plan.network_efficiency)
    if turns and gpu.name != "cpu":
        seconds = turns.copy_s
    if config.learner.zero_stage == 3 and config.learner.num_ranks > 1:
        seconds += sent / _bandwidth(config.learner, config.plan, gpu)
    return seconds + PUBLISH_S
