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
ALL_REDUCE_S = 15e-6
"""Time in which the GPUs of an engine add up a few tokens' values, by NVLink, and the next by a network: twice a layer,
in every decode step."""
NODES_ALL_REDUCE_S = 60e-6


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
    """Return the operations of all ranks, for ``tokens`` trained tokens in sequences of ``mean_length``. Several
    teachers read as many of them each.

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
    return updates_seconds(
        config,
        shape,
        gpu,
        tokens=batch.trained_tokens,
        mean_length=batch.tokens_per_sequence,
        microbatches=batch.microbatches,
        updates=batch.updates,
        teachers=teachers,
    )


def updates_seconds(
    config: RunConfig,
    shape: Shape,
    gpu: Gpu,
    *,
    tokens: float,
    mean_length: float,
    microbatches: int,
    updates: int,
    teachers: Sequence[Shape] = (),
) -> float:
    """So many updates, on all ranks together.

    Args:
        tokens: that all ranks compute, with what they wait for each other.
        microbatches: of all updates, on each shard.
    """
    learner, plan = config.learner, config.plan
    flops = learner_flops(config, shape, tokens=tokens, mean_length=mean_length, teachers=teachers)
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
        collectives = microbatches * (gathers + 1) * whole + updates * whole * (learner.zero_stage < 3)
        if learner.zero_stage == 3:
            collectives += microbatches * sum(teacher.parameters for teacher in teachers) * size / bandwidth
    state = shape.parameters * (16 + 2 * size) / (learner.num_ranks if learner.stage_in_use else 1)
    bandwidth = 20e9 if learner.offload_optimizer else gpu.bandwidth * threads
    update = updates * (state / bandwidth + PER_UPDATE_S)
    return compute + collectives + update


def _bandwidth(learner: LearnerConfig, plan: PlanConfig, gpu: Gpu) -> float:
    """Bytes of a whole tensor that reach every rank in a second."""
    is_one_node = learner.num_ranks <= plan.gpus_per_node
    return (gpu.link if is_one_node else min(gpu.link, gpu.node_network)) * plan.network_efficiency


@dataclass(frozen=True, slots=True, kw_only=True)
class Decode:
    """The cost of one engine's decode steps: weights and cache are read once, and every sequence is multiplied. The
    stages of a pipeline work on a share of the sequences each, one after the other on every share."""

    weight_bytes: float
    """Weights that every token goes through."""
    expert_bytes: float
    """Weights of all experts."""
    expert_share: float
    """Share of the experts that one token goes through."""
    held_bytes: float
    """Size of one token in the cache."""
    token_flops: float
    """Operations of one token, beside those for the tokens that it sees."""
    held_flops: float
    """Operations for one token that it sees."""
    stages: int
    bandwidth: float
    """Bytes a second that the engine reaches."""
    flops: float
    """A second, that the engine reaches."""
    step_s: float
    sequence_s: float

    def seconds(self, sequences: float, held: float) -> float:
        """Return the seconds of one decode step.

        Args:
            held: tokens in the cache, of all sequences.
        """
        own = max(1.0, sequences / self.stages)
        held *= own / max(1.0, sequences)
        touched = self.weight_bytes
        if self.expert_bytes:
            touched += self.expert_bytes * (1 - (1 - self.expert_share) ** own)
        read = (touched + held * self.held_bytes) / self.bandwidth
        compute = (own * self.token_flops + held * self.held_flops) / self.flops
        return max(read, compute) + self.step_s + own * self.sequence_s


def decode_of(engine: RolloutConfig, shape: Shape, gpu: Gpu, plan: PlanConfig, *, gpus: int) -> Decode:
    """Return what the decode steps of an engine with so many GPUs cost."""
    size = DTYPE_BYTES[engine.dtype]
    parts, stages = engine.parallel_sizes(gpus).values()
    reached = parts * together(gpu, engine.threads) * plan.generate_efficiency
    token = shape.forward_flops(1, context=0)
    experts = shape.expert_layers * shape.expert_parameters
    adding = 0.0 if parts == 1 else ALL_REDUCE_S if parts <= plan.gpus_per_node else NODES_ALL_REDUCE_S
    in_weights = 1 if shape.is_fp8 or engine.quantization is not None else size
    return Decode(
        weight_bytes=(shape.parameters - shape.embedding_parameters * (not shape.tied) - experts) * in_weights,
        expert_bytes=experts * in_weights,
        expert_share=shape.experts_per_token / shape.experts if shape.experts else 0.0,
        held_bytes=shape.cache_values * size,
        token_flops=token,
        held_flops=shape.forward_flops(1, context=1) - token,
        stages=stages,
        bandwidth=reached * gpu.bandwidth,
        flops=reached * gpu.flops,
        step_s=gpu.step_s + 2 * shape.layers * adding,
        sequence_s=gpu.sequence_s,
    )


def prefill_seconds(
    engine: RolloutConfig, shape: Shape, gpu: Gpu, plan: PlanConfig, *, gpus: int, tokens: float, context: float
) -> float:
    """Return the seconds in which one engine reads so many tokens, which see ``context`` others on average."""
    reached = max(1, gpus) * together(gpu, engine.threads) * gpu.flops * plan.generate_efficiency
    return shape.forward_flops(tokens, context=context) / reached


def mean_context(batch: Batch) -> float:
    """Return the tokens in front of an average policy token."""
    return batch.prompt_tokens + (batch.completion_tokens + batch.context_tokens) / 2


def cached_sequences(actor: Actor, shape: Shape, batch: Batch) -> float:
    """Return how many average sequences the cache of one engine holds."""
    return actor.metrics["cache_tokens"] / max(mean_context(batch) + shape.state_tokens, 1.0)


def generation(
    engine: RolloutConfig, actor: Actor, shape: Shape, gpu: Gpu, plan: PlanConfig, batch: Batch
) -> tuple[float, float]:
    """Seconds until ``batch.completions`` are there, and sequences at a time on one engine."""
    own = batch.completions / actor.count
    sequences = max(1.0, min(engine.max_num_seqs, own, cached_sequences(actor, shape, batch)))
    step = decode_of(engine, shape, gpu, plan, gpus=actor.gpus).seconds(sequences, sequences * mean_context(batch))
    # A prompt is read once a group: the others find it in the cache. So is a history, by the turns after it.
    read = batch.prompts * batch.prompt_tokens / actor.count + own * batch.context_tokens
    prefill = prefill_seconds(engine, shape, gpu, plan, gpus=actor.gpus, tokens=read, context=batch.prompt_tokens / 2)
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
        beside = max(1.0, sequences / 4)
        held = beside * (batch.prompt_tokens + batch.longest_completion / 2)
        alone = decode_of(config.rollout, shape, gpu, plan, gpus=engines.gpus).seconds(beside, held)
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
