"""Bytes of each actor, as the code spends them.

The arithmetic follows the learner (:mod:`r1ray.learner`) with DeepSpeed 0.19 under it, and vLLM's budget. A learner
rank has moments that need different memory: forward and backward passes, the update, a publish. What counts
is the largest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from r1ray.config import LearnerConfig, RewardModelConfig, RolloutConfig, RunConfig
from r1ray.planning.gpus import GIB
from r1ray.planning.shapes import DELTA_CHUNK, Shape

DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
MAX_LOGITS = 2**24
"""Of :mod:`r1ray.algo.logprobs`: logits that exist at a time."""
LOGITS_COPIES = 4
"""Float32 copies of a chunk of logits at the peak of its backward pass (measured)."""
BUCKET = 5e8
"""Elements of DeepSpeed's gradient bucket (reduce_bucket_size)."""
LIVE = 1e9
"""Elements that ZeRO 3 keeps gathered (stage3_max_live_parameters), and updates at a time (sub_group_size). Of all
three, ``learner.deepspeed`` may say otherwise."""
CONTEXT = 0.6 * GIB
"""CUDA, NCCL and their libraries, of a process."""
LIBRARIES = 0.7 * GIB
"""Python and torch with what else is imported, of a process that computes on a CPU."""
FRAGMENTS = 0.05
"""Share of what is allocated that torch's allocator cannot give out."""
GRAPHS = 1.0 * GIB
"""CUDA graphs of an engine."""
TEACHERS_PASS = "teacher's pass"
"""A moment of a rank that has teachers."""


@dataclass(frozen=True, slots=True)
class Item:
    """What bytes are for."""

    name: str
    bytes: float
    how: str = ""
    """The arithmetic, written out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """The actors of one section; sizes are of one GPU, or, without GPUs, of one actor in the machine's memory."""

    section: str
    count: int
    gpus: int
    """Of one actor."""
    moments: dict[str, tuple[Item, ...]]
    """What is there at the same time, by the moment's name."""
    capacity: float
    host: tuple[Item, ...] = ()
    """In the host's memory, of one actor, beside the GPU."""
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def peak(self) -> str:
        """The moment that needs most."""
        return max(self.moments, key=lambda name: sum(item.bytes for item in self.moments[name]))

    @property
    def bytes(self) -> float:
        return sum(item.bytes for item in self.moments[self.peak])

    @property
    def fits(self) -> bool:
        return self.bytes <= self.capacity


# ---------------------------------------------------------------------- activations


def layer_bytes(shape: Shape, *, size: int, splits: int, on_gpu: bool) -> float:
    """What one layer keeps of one token for its backward pass.

    Args:
        size: bytes of a number: 4 or 2.
        splits: ranks that share a row (Ulysses): then the output of attention is there before and after the exchange.
    """
    # An RMSNorm keeps its input in float32 (which in float32 is the residual stream itself), the normalised input, and
    # its product with the weight, which the next linear layer keeps.
    norms = 2 * shape.hidden * (4 + size + size)
    of_full = _attention_bytes(shape, size=size, splits=splits, on_gpu=on_gpu)
    of_linear = _linear_attention_bytes(shape, size=size) if shape.linear_layers else 0.0
    attention = shape.over_layers(of_full, of_linear) / shape.layers
    dense = 4 * shape.intermediate
    if shape.experts:
        # Each token is copied for each of its experts: input, gate and up, their product, output before and after its
        # weight.
        routed = shape.experts_per_token * (4 * shape.expert_intermediate + 3 * shape.hidden)
        dense = max(routed + 4 * shape.shared_intermediate + 4 * shape.experts // size, 0)
    return norms + attention + size * dense


def _attention_bytes(shape: Shape, *, size: int, splits: int, on_gpu: bool) -> float:
    norms = 0.0
    query, key = shape.query_width, shape.kv_width
    value, out = shape.kv_heads * shape.value_dim, shape.heads * shape.value_dim
    if shape.kv_rank:
        # Latents with their norms, keys put together of two parts, values inside the up-projection's output.
        key = shape.heads * shape.query_key_dim
        value = shape.heads * (shape.query_key_dim - shape.rope_dim + shape.value_dim)
        norms += (shape.query_rank + shape.kv_rank) * (4 + size + size)
    elif shape.has_qk_norm:
        norms += (query + key) * (4 + size)
    outs = 2 if splits > 1 or not on_gpu else 1
    gate = 2 * shape.is_output_gated * query  # itself, and its product with the output
    return norms + size * (query + key + value + outs * out + gate) + 4 * shape.heads


def _linear_attention_bytes(shape: Shape, *, size: int) -> float:
    """Inputs and outputs of the convolution, the gate, the output before and after norm and gate, and a float32 state
    every few tokens. (An estimate: it was compared with no kernel.)"""
    mixed, value = 2 * shape.linear_key_width + shape.linear_value_width, shape.linear_value_width
    states = 4 * shape.linear_key_dim * value / DELTA_CHUNK
    return size * (2 * mixed + 4 * value) + 4 * value + states


def activation_items(
    shape: Shape, *, tokens: float, size: int, checkpointing: bool, splits: int, on_gpu: bool
) -> tuple[Item, ...]:
    """Of a forward and backward pass over ``tokens`` tokens on one rank."""
    each = layer_bytes(shape, size=size, splits=splits, on_gpu=on_gpu)
    width = shape.shared_intermediate + shape.experts_per_token * shape.expert_intermediate if shape.experts else 0
    at_work = tokens * size * (2 * max(width, shape.intermediate) + 2 * shape.hidden)
    if checkpointing:
        kept = Item(
            "layer inputs",
            tokens * shape.layers * shape.hidden * size,
            f"{tokens:,.0f} tokens x {shape.layers} layers x {shape.hidden} x {size}",
        )
        working = tokens * each + at_work
    else:
        kept = Item(
            "activations",
            tokens * shape.layers * each,
            f"{tokens:,.0f} tokens x {shape.layers} layers x {each:,.0f} bytes",
        )
        working = at_work
    logits = LOGITS_COPIES * 4 * min(tokens * shape.vocabulary, max(tokens, MAX_LOGITS))
    ends = tokens * shape.hidden * (4 + 3 * size)
    return kept, Item("one layer, or a chunk of logits, at work", max(working, logits) + ends)


# ---------------------------------------------------------------------- learner


def trained_parameters(shape: Shape, learner: LearnerConfig) -> int:
    return shape.adapter_parameters(learner.lora.rank) if learner.lora.rank else shape.parameters


def has_reference(config: RunConfig) -> bool:
    """Whether a frozen copy lives beside the learner."""
    return not config.only_learner and config.algo.kl_coefficient > 0 and not config.learner.lora.rank


def _has_snapshot(config: RunConfig) -> bool:
    """Return whether the last two versions are kept beside the learner: a share of them is counted for each rank."""
    return not config.only_learner and config.weights.snapshot


def longest_row(config: RunConfig) -> int:
    """Tokens of the longest micro-batch that can come."""
    return config.learner.max_tokens_per_microbatch


def learner_actor(
    config: RunConfig, shape: Shape, *, gpus: int, capacity: float, teachers: Sequence[Shape] = ()
) -> Actor:
    """One rank of the learner group.

    Args:
        teachers: of ``algo.teacher``, each once.
    """
    learner = config.learner
    size = DTYPE_BYTES[learner.dtype]
    n, stage = learner.num_ranks, learner.stage_in_use
    whole, trained = shape.parameters, trained_parameters(shape, learner)
    weight_shard, grad_shard = (n if stage == 3 else 1), (n if stage >= 2 else 1)
    state_shard = n if stage else 1
    weights = Item("weights", whole / weight_shard * size, _share(whole, size, weight_shard))
    gradients = Item("gradients", trained / grad_shard * 4, _share(trained, 4, grad_shard))
    states = list(_optimizer(trained, state_shard, has_master=stage > 0))
    reference = (
        [Item("reference", whole / weight_shard * size, _share(whole, size, weight_shard))]
        if has_reference(config)
        else []
    )
    taught = sum(teacher.parameters for teacher in teachers)
    if taught:
        reference.append(Item("teachers", taught / weight_shard * size, _share(taught, size, weight_shard)))
    on_host: list[Item] = []
    if learner.offload_optimizer and gpus:
        on_host += [*states, Item("gradients", trained / n * 4, _share(trained, 4, n))]
        states = []
        if stage > 1:  # stage 1 has all gradients in their place until an update, and only then a rank's part aside
            gradients = Item("gradients", 0.0, "in host memory")
    if learner.offload_parameters and gpus:
        on_host += [weights, *reference]
        weights, reference = Item("weights", 0.0, "in host memory"), []
    snapshot = (
        [Item("snapshots of the weights", 2 * published_bytes(config, shape) / n)] if _has_snapshot(config) else []
    )
    always = [weights, *reference, gradients, *states, *([] if gpus else snapshot)]
    always.append(Item("CUDA and NCCL", CONTEXT) if gpus else Item("libraries", LIBRARIES))
    bucket_size = learner.zero_setting("reduce_bucket_size", BUCKET)
    summed = 4 / n if stage == 3 and size < 4 else 0  # a rank's part of the bucket, made float32 to be added
    bucket = [Item("gradient bucket", bucket_size * (size + summed))] if stage and gpus else []
    tokens = longest_row(config) / learner.sequence_parallel_size
    live = max(learner.zero_setting("stage3_max_live_parameters", LIVE), shape.layer_parameters)
    gathered = [Item("gathered weights (ZeRO 3)", min(whole, live) * size)] if stage == 3 else []
    passes = activation_items(
        shape,
        tokens=tokens,
        size=size,
        checkpointing=learner.gradient_checkpointing,
        splits=learner.sequence_parallel_size,
        on_gpu=gpus > 0,
    )
    update = [] if learner.offload_optimizer and gpus else [_update_item(learner, shape, trained, gpus=gpus)]
    moments = {
        "forward and backward": (*always, *bucket, *gathered, *passes),
        "update": (*always, *bucket, *update),
    }
    if teachers:
        read = [_reading_items(config, teacher, on_gpu=gpus > 0) for teacher in teachers]
        most = max(read, key=lambda items: sum(item.bytes for item in items))
        moments[TEACHERS_PASS] = (*always, *bucket, *most)
    if not config.only_learner:
        bucket_bytes = min(config.weights.bucket_mib * 2.0**20, published_bytes(config, shape))
        sent = [Item("publish buckets", 2 * bucket_bytes)]
        if stage == 3:
            sent.append(Item("largest parameter, gathered", shape.largest_parameter * size))
        moments["publish"] = (*always, *bucket, *sent)
    if gpus:
        moments = {name: with_fragments(items) for name, items in moments.items()}
    return Actor(
        section="learner",
        count=n,
        gpus=gpus,
        moments=moments,
        capacity=capacity,
        host=(*on_host, *snapshot, *_host(config, shape, n, teachers=teachers)) if gpus else (),
    )


def _reading_items(config: RunConfig, teacher: Shape, *, on_gpu: bool) -> tuple[Item, ...]:
    """Return the memory of a teacher's forward pass, without gradients, on one rank."""
    learner = config.learner
    size, tokens = DTYPE_BYTES[learner.dtype], longest_row(config) / learner.sequence_parallel_size
    *_, working = activation_items(
        teacher,
        tokens=tokens,
        size=size,
        checkpointing=True,
        splits=learner.sequence_parallel_size,
        on_gpu=on_gpu,
    )
    if learner.stage_in_use < 3:
        return (working,)
    live = max(learner.zero_setting("stage3_max_live_parameters", LIVE), teacher.layer_parameters)
    return Item("gathered weights (ZeRO 3)", min(teacher.parameters, live) * size), working


def _share(parameters: int, size: int, parts: int) -> str:
    return f"{size} x {parameters / 1e9:.3g}e9" + (f" / {parts}" if parts > 1 else "")


def _optimizer(trained: int, parts: int, *, has_master: bool) -> Iterator[Item]:
    if has_master:
        yield Item("master weights", 4 * trained / parts, _share(trained, 4, parts))
    yield Item("moments", 8 * trained / parts, _share(trained, 8, parts))


def _update_item(learner: LearnerConfig, shape: Shape, trained: int, *, gpus: int) -> Item:
    """AdamW's temporaries: one copy of what it updates at a time on GPUs (foreach), two on CPUs, and under stage 3 its
    gradients once more. ZeRO updates flat tensors, under stage 3 one after the other; without it, CPUs update parameter
    by parameter."""
    stage = learner.stage_in_use
    at_a_time = trained / (learner.num_ranks if stage else 1)
    if stage == 3:
        at_a_time = min(learner.zero_setting("sub_group_size", LIVE), at_a_time)
    temporaries = 4 * at_a_time if gpus else 8 * (at_a_time if stage else shape.largest_parameter)
    return Item("AdamW's temporaries", 4 * at_a_time * (stage == 3) + temporaries)


def with_fragments(items: tuple[Item, ...]) -> tuple[Item, ...]:
    return (*items, Item("lost to fragments", FRAGMENTS * sum(item.bytes for item in items)))


def _host(config: RunConfig, shape: Shape, ranks: int, *, teachers: Sequence[Shape]) -> Iterator[Item]:
    """Of one rank in the host's memory. The files of a model are mapped, once for all ranks of a node. What has another
    dtype than they have, and experts, which files have one by one, are copied: of policy, reference and teachers by
    each rank, under ZeRO 3 one parameter at a time."""
    size = DTYPE_BYTES[config.learner.dtype]
    loaded = [("model", shape), *([("reference", shape)] if has_reference(config) else [])]
    copied = [
        (name, each)
        for name, each in [*loaded, *(("teacher", teacher) for teacher in teachers)]
        if each.checkpoint_dtype != config.learner.dtype or each.is_fp8 or each.experts
    ]
    if copied and config.learner.zero_stage == 3:
        yield Item("one parameter at the start", max(each.largest_parameter for _, each in copied) * size)
    elif copied:
        for name, each in copied:
            others = ", with other tensors than its files" if name == "model" else ""
            yield Item(f"the {name} at the start{others}", each.parameters * size)
    if config.checkpoint.asynchronous and config.checkpoint.every:
        shards = checkpoint_parts(config, shape)
        yield Item("copy of a checkpoint being written", sum(shards.values()) / ranks)


# ---------------------------------------------------------------------- files


def checkpoint_parts(config: RunConfig, shape: Shape) -> dict[str, float]:
    """Bytes of one checkpoint of the learner, of all ranks together, as DeepSpeed writes it."""
    learner = config.learner
    size = DTYPE_BYTES[learner.dtype]
    trained = trained_parameters(shape, learner)
    has_master = learner.stage_in_use > 0
    # Under ZeRO 3 the module's own values are not written again, but for what is frozen.
    module = shape.parameters * size if learner.zero_stage < 3 else (shape.parameters - trained * 1.0) * size
    if learner.lora.rank:
        module = (shape.parameters + trained) * size if learner.zero_stage < 3 else shape.parameters * size
    parts = {"model": module, "optimizer": (12.0 if has_master else 8.0) * trained}
    if has_reference(config):
        parts["reference"] = float(shape.parameters * size)
    return parts


def export_bytes(config: RunConfig, shape: Shape) -> float:
    """Count the bytes of the safetensors of one export."""
    learner = config.learner
    is_adapter = learner.lora.rank and learner.lora.export == "adapter"
    return float((trained_parameters(shape, learner) if is_adapter else shape.parameters) * DTYPE_BYTES[learner.dtype])


def published_bytes(config: RunConfig, shape: Shape) -> float:
    """Count the bytes of one publish: of native adapters alone, or of all weights, a tied output layer once more."""
    lora, engine = config.learner.lora, config.rollout
    if lora.is_native(has_gpus=engine.num_gpus(True) > 0, engine_dtype=engine.dtype):
        return float(shape.adapter_parameters(lora.rank) * DTYPE_BYTES[config.learner.dtype])
    sent = shape.parameters + (shape.embedding_parameters if shape.tied else 0)
    return float(sent * DTYPE_BYTES[config.learner.dtype])


# ---------------------------------------------------------------------- engines, reward models


def engine_weights(shape: Shape, engine: RolloutConfig, *, tensor: int, pipeline: int) -> float:
    """Bytes on one GPU of the fullest stage of an engine that cuts each layer in ``tensor`` parts and the layers in
    ``pipeline``. The first stage has the embedding, the last the output layer, a tied one once more."""
    size, found = DTYPE_BYTES[engine.dtype], []
    for index, stage in enumerate(stages(shape, pipeline)):
        in_8_bits = stage.quantised_parameters if shape.is_fp8 or engine.quantization is not None else 0
        has_output = index == pipeline - 1 and (pipeline > 1 or not shape.tied)
        ends = shape.embedding_parameters * ((index == 0) + has_output)
        # Block scales of an fp8 checkpoint: one float32 for 128 x 128.
        found.append((stage.body_parameters - in_8_bits + ends) * size + in_8_bits * (1 + 4 / 128**2))
    return max(found) / tensor


def stages(shape: Shape, pipeline: int) -> list[Shape]:
    """The layers of each stage, as models that have them alone. As vLLM does it, layers that are left over go to the
    stages before the last."""
    each, left_over = divmod(shape.layers, pipeline)
    found, start = [], 0
    for index in range(pipeline):
        layers = each + (pipeline - 1 - left_over <= index < pipeline - 1)
        dense = max(0, min(shape.dense_layers - start, layers))
        linear = round(shape.linear_layers * layers / shape.layers)
        found.append(replace(shape, layers=layers, dense_layers=dense, linear_layers=linear))
        start += layers
    return found


def engine_actor(
    section: str,
    engine: RolloutConfig,
    shape: Shape,
    *,
    count: int,
    gpus: int,
    max_model_len: int,
    capacity: float,
    bucket_bytes: float = 0.0,
) -> Actor:
    """A vLLM engine. What its budget leaves is key-value cache; ``metrics`` has how many tokens that is."""
    size = DTYPE_BYTES[engine.dtype]
    sizes = engine.parallel_sizes(gpus)
    tensor, pipeline = sizes["tensor_parallel_size"], sizes["pipeline_parallel_size"]
    weights = engine_weights(shape, engine, tensor=tensor, pipeline=pipeline)
    how = f"{shape.parameters / 1e9:.3g}e9 parameters / {tensor * pipeline}"
    how += ", and the ends of the pipeline" if pipeline > 1 else ""
    longest = max(stages(shape, pipeline), key=lambda stage: stage.layers)
    token = longest.cache_values_of_rank(tensor) * size
    batch = max(engine.max_num_batched_tokens, max_model_len)
    width = max(shape.intermediate, shape.experts_per_token * shape.expert_intermediate + shape.shared_intermediate)
    work = batch * size * (4 * shape.hidden + 3 * width / tensor) + 3 * 4 * engine.max_num_seqs * shape.vocabulary
    items = [Item("weights", weights, how), Item("activations of a full batch", work)]
    if not gpus:
        items[1] = Item("activations of a full batch", size * min(batch, 8192) * (4 * shape.hidden + 3 * width))
        cache, processes = engine.cpu_kv_cache_gib * GIB, tensor * pipeline
        items += [Item("key-value cache", cache, f"{token:,.0f} bytes a token"), Item("libraries", LIBRARIES)]
        items = [replace(item, bytes=item.bytes * processes) for item in items]
        tokens = cache / token
        return Actor(
            section=section,
            count=count,
            gpus=0,
            moments={"generation": tuple(items)},
            capacity=capacity,
            metrics={"cache_tokens": tokens, "token_bytes": token},
        )
    budget = engine.gpu_memory_utilization * capacity
    items += [Item("CUDA graphs", GRAPHS), Item("CUDA and NCCL", CONTEXT)]
    left = budget - sum(item.bytes for item in items)
    needed = max_model_len * token
    items.append(Item("key-value cache", max(left, needed), f"{token:,.0f} bytes a token on a GPU"))
    moments = {"generation": tuple(items)}
    if bucket_bytes:
        # Beside the budget: what a publish brings, and a layer that waits for all of its parts.
        layer = shape.layer_parameters * size / tensor
        beside = Item("publish buckets, and a layer that is loaded", 2 * bucket_bytes + layer)
        moments["publish"] = (*items, beside)
    return Actor(
        section=section,
        count=count,
        gpus=gpus,
        moments=moments,
        capacity=budget if left < needed else capacity,
        metrics={"cache_tokens": max(left, 0.0) / token, "token_bytes": token},
    )


def reward_model_actor(section: str, model: RewardModelConfig, shape: Shape, *, gpus: int, capacity: float) -> Actor:
    """A sequence classifier that scores batches of texts."""
    size = DTYPE_BYTES[model.dtype]
    width = max(shape.intermediate, shape.experts_per_token * shape.expert_intermediate + shape.shared_intermediate)
    items = [
        Item("weights", shape.parameters * size, _share(shape.parameters, size, 1)),
        Item("activations of a full batch", model.batch_tokens * size * (3 * width + 6 * shape.hidden)),
    ]
    items.append(Item("CUDA", CONTEXT) if gpus else Item("libraries", LIBRARIES))
    return Actor(
        section=section, count=model.num_actors, gpus=gpus, moments={"scoring": tuple(items)}, capacity=capacity
    )
