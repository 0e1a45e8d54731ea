"""Rollout engines, learner, and the weights between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from r1ray.config.values import above, at_least, check_placement, divisors, is_set, one_of

DTYPES = ("float32", "bfloat16")
SCHEDULES = ("constant", "linear", "cosine")
EXPORTS = ("merged", "adapter")
BACKENDS = ("auto", "nccl", "gloo")
PROBE_BOUNDS = {"float32": (1e-4, 1e-6), "bfloat16": (0.15, 0.03)}
"""Mean difference and KL divergence of a parity probe."""
MAX_SEEDED_TOKENS = 2**16
"""Of one step of an engine on CPUs: their activations have to fit into memory."""
ARGUMENTS_OF_A_NODE = frozenset({"nnodes", "node_rank", "master_addr", "master_port", "distributed_executor_backend"})
"""Of vLLM: what is r1ray's to say."""

OWN_SETTINGS = {
    "train_batch_size": "algo.prompts_per_step, or supervised.sequences_per_step",
    "train_micro_batch_size_per_gpu": "learner.max_tokens_per_microbatch",
    "gradient_accumulation_steps": "learner.max_tokens_per_microbatch",
    "managed_gradient_accumulation": "learner.max_tokens_per_microbatch",
    "gradient_allreduce_op": None,
    "gradient_clipping": "learner.grad_clip",
    "zero_optimization.stage": "learner.zero_stage",
    "zero_optimization.offload_optimizer.device": "learner.offload_optimizer",
    "zero_optimization.offload_param.device": "learner.offload_parameters",
    "bf16.enabled": "learner.dtype",
    "fp16": "learner.dtype",
    "amp": "learner.dtype",
    "torch_autocast": "learner.dtype",
    "optimizer.type": None,
    "optimizer.params.lr": "learner.lr",
    "optimizer.params.betas": "learner.betas",
    "optimizer.params.eps": "learner.epsilon",
    "optimizer.params.weight_decay": "learner.weight_decay",
    "scheduler": "learner.schedule",
    "sequence_parallel_size": "learner.sequence_parallel_size",
    "tensor_parallel": None,
    "pipeline": None,
}
"""Settings of DeepSpeed that r1ray decides, and the key of ours that does; None: there is none."""


@dataclass
class RolloutConfig:
    """The vLLM engines."""

    num_actors: int = 1
    cpus_per_actor: float = 1.0
    gpus_per_actor: int | None = None
    """None: one of each node where the cluster has GPUs, else none. Above one, the engine is tensor-parallel inside a
    node."""
    nodes_per_actor: int = 1
    """Nodes that one engine is spread over: each gives an equal part of what the actor takes, and the layers are cut
    into as many pipeline stages, unless ``engine_args`` say otherwise."""
    resources: dict[str, float] = field(default_factory=dict)
    """Custom Ray resources that one engine takes beside them, ``{rollout_node: 0.001}``: it runs where a node has
    them."""
    labels: dict[str, str] = field(default_factory=dict)
    """Ray labels that its node has to have: ``{tier: rollout}``, ``{zone: "in(a, b)"}``, ``{tier: "!spot"}``."""
    threads: int = 1
    """Torch threads of one engine on a CPU."""
    dtype: str = "bfloat16"
    max_num_seqs: int = 256
    """Sequences that one engine generates at a time."""
    max_num_batched_tokens: int = 8192
    gpu_memory_utilization: float = 0.85
    cpu_kv_cache_gib: int = 1
    seeded: bool = False
    """Each completion has its own seed, so that a repeated run draws the same ones. vLLM then samples one request after
    the other; and on CPUs no prompt may be split among steps of an engine (its random generators cannot go back, which
    ends the engine), so that max_num_batched_tokens is raised to what all sequences can need."""
    engine_args: dict[str, Any] = field(default_factory=dict)
    """Further arguments of ``vllm.AsyncEngineArgs``."""

    def num_gpus(self, cluster_has_gpus: bool) -> int:
        """Of one engine."""
        return self.nodes_per_actor * cluster_has_gpus if self.gpus_per_actor is None else self.gpus_per_actor

    def parallel_sizes(self, num_gpus: int) -> dict[str, int]:
        """In how many parts an engine cuts each layer, and in how many its layers, as vLLM's arguments:
        num_gpus / pipeline_parallel_size and nodes_per_actor, where ``engine_args`` does not say."""
        pipeline = int(self.engine_args.get("pipeline_parallel_size", self.nodes_per_actor))
        tensor = int(self.engine_args.get("tensor_parallel_size", max(1, num_gpus // pipeline)))
        return {"tensor_parallel_size": tensor, "pipeline_parallel_size": pipeline}

    def batched_tokens(self, num_gpus: int, max_model_len: int) -> int:
        """Tokens that one step of an engine takes at most: ``max_num_batched_tokens``, and a whole sequence; with
        seeds on CPUs all sequences."""
        sequences = self.max_num_seqs if self.seeded and not num_gpus else 1
        return max(self.max_num_batched_tokens, sequences * max_model_len)

    def why_not_seeded(self, section: str, num_gpus: int, max_model_len: int) -> str | None:
        """Say what keeps an engine from giving each completion a seed; None where nothing does."""
        needed = self.max_num_seqs * max_model_len
        if not self.seeded or num_gpus or needed <= MAX_SEEDED_TOKENS:
            return None
        return (
            f"{section}.seeded=true: on CPUs an engine cannot split prompts of seeded requests, and "
            f"{section}.max_num_seqs={self.max_num_seqs} sequences of {max_model_len} tokens may need {needed} tokens "
            f"in one step; needs at most {MAX_SEEDED_TOKENS}: {section}.max_num_seqs="
            f"{max(1, MAX_SEEDED_TOKENS // max_model_len)}, or {section}.seeded=false"
        )

    def why_not(self, section: str, num_gpus: int) -> str | None:
        """What keeps an engine with so many GPUs (0: on CPUs) from being spread over its nodes in equal parts, for the
        user; None where nothing does."""
        nodes, sizes = self.nodes_per_actor, self.parallel_sizes(num_gpus)
        taken = sizes["tensor_parallel_size"] * sizes["pipeline_parallel_size"]
        product = " x ".join(f"{name}={size}" for name, size in sizes.items())
        if num_gpus % nodes:
            return (
                f"{section}.gpus_per_actor={num_gpus} are not {section}.nodes_per_actor={nodes} equal parts; needs a "
                "multiple"
            )
        if num_gpus and taken != num_gpus:
            return (
                f"{section}.engine_args: {product} is {taken} GPUs, but {section}.gpus_per_actor={num_gpus}; needs to "
                "be the same, and nodes_per_actor where that is more than a node has"
            )
        if taken % nodes:
            return (
                f"{section}.engine_args: {product} is {taken} processes, and {section}.nodes_per_actor={nodes} have to "
                "share them equally; needs a multiple"
            )
        return None

    def __post_init__(self) -> None:
        at_least("rollout.num_actors", self.num_actors, 1)
        at_least("rollout.nodes_per_actor", self.nodes_per_actor, 1)
        at_least("rollout.threads", self.threads, 1)
        at_least("rollout.max_num_seqs", self.max_num_seqs, 1)
        above("rollout.cpus_per_actor", self.cpus_per_actor, 0)
        one_of("rollout.dtype", self.dtype, DTYPES)
        check_placement("rollout", self.resources, self.labels)
        for key in ("tensor_parallel_size", "pipeline_parallel_size"):
            if key in self.engine_args and not (isinstance(size := self.engine_args[key], int) and size >= 1):
                raise ValueError(f"rollout.engine_args.{key}={size}: needs a whole number of at least 1.")
        for key in ("data_parallel_size", "prefill_context_parallel_size"):
            if self.engine_args.get(key, 1) != 1:
                raise ValueError(
                    f"rollout.engine_args.{key}={self.engine_args[key]}: an engine is tensor- and pipeline-parallel "
                    "alone, and replicated by rollout.num_actors; needs 1."
                )
        if of_a_node := sorted(ARGUMENTS_OF_A_NODE & self.engine_args.keys()):
            raise ValueError(
                f"rollout.engine_args.{of_a_node[0]}: is found out where the engine runs; needs to be left out, and "
                "rollout.nodes_per_actor for an engine on several nodes."
            )


@dataclass
class LoraConfig:
    """Low-rank adapters: train these instead of the model."""

    rank: int = 0
    """0: none, the whole model is trained."""
    alpha: float = 32.0
    """What the adapters add is scaled by alpha / rank."""
    targets: list[str] | None = None
    """Names of the linear layers that get one; None: all but the output layer."""
    publish: str = "auto"
    """How they reach the engines. ``native``: by themselves, and vLLM adds what they compute. ``merged``: as part of
    the weights, which in bfloat16 rounds most of what was trained away. ``auto``: native, and merged where engines on
    CPUs compute in float32, which make a third of the tokens with native ones."""

    export: str = "merged"
    """What a run ends with: ``merged``, a whole model (summed in float32, and rounded to ``learner.dtype``: bfloat16
    loses what is below 1/256 of a weight); or ``adapter``, the adapter alone, as peft loads it."""

    def is_native(self, *, has_gpus: bool, engine_dtype: str) -> bool:
        """``publish`` with auto decided."""
        if not self.rank or self.publish == "merged":
            return False
        return self.publish == "native" or has_gpus or engine_dtype != "float32"

    def __post_init__(self) -> None:
        at_least("learner.lora.rank", self.rank, 0)
        one_of("learner.lora.publish", self.publish, ("auto", "native", "merged"))
        one_of("learner.lora.export", self.export, EXPORTS)
        above("learner.lora.alpha", self.alpha, 0)


@dataclass
class LearnerConfig:
    """The DeepSpeed learner group."""

    num_ranks: int = 1
    cpus_per_rank: float = 1.0
    gpus_per_rank: int | None = None
    """None: one where the cluster has GPUs, else none."""
    resources: dict[str, float] = field(default_factory=dict)
    """As ``rollout.resources``, of one rank."""
    labels: dict[str, str] = field(default_factory=dict)
    """As ``rollout.labels``."""
    threads: int = 1
    dtype: str = "bfloat16"
    """Of parameters and their products. Gradients accumulate, and master weights and moments are kept, in float32: 16
    bytes a parameter, beside 2 of its own in ``bfloat16`` and 4 in ``float32`` (which without ZeRO has no master)."""
    zero_stage: int = 2
    """ZeRO: ranks share out the optimizer (1), the gradients too (2), and the parameters (3). In bfloat16, 0 and 1 are
    run as 2, which is the same on one rank: without ZeRO DeepSpeed adds micro-batches up in bfloat16, and its stage 1
    keeps whole float32 gradients on every rank."""
    lr: float = 3e-6
    betas: list[float] = field(default_factory=lambda: [0.9, 0.95])
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    grad_clip: float = 1.0
    schedule: str = "constant"
    lr_floor: float = 0.0
    """Where a cosine schedule ends, as a share of lr; the paper's fine-tuning ends at 0.1."""
    warmup_updates: int = 0
    max_tokens_per_microbatch: int = 16384
    """Tokens of one forward and backward pass; sequence-parallel ranks share them."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass instead of keeping them."""
    offload_optimizer: bool = False
    """Keep master weights and moments in host memory and update there; needs zero_stage 1 or above."""
    offload_parameters: bool = False
    """Keep parameters in host memory too; needs zero_stage 3."""
    sequence_parallel_size: int = 1
    """Ranks that compute each row together, a part of its tokens each (DeepSpeed's Ulysses), for long sequences."""
    lora: LoraConfig = field(default_factory=LoraConfig)
    deepspeed: dict[str, Any] = field(default_factory=dict)
    """Further settings of DeepSpeed, over those that r1ray makes:
    ``{zero_optimization: {overlap_comm: true, reduce_bucket_size: 200000000}}``."""

    def zero_setting(self, name: str, default: Any) -> Any:
        """A setting of ``deepspeed.zero_optimization``."""
        return self.deepspeed.get("zero_optimization", {}).get(name, default)

    @property
    def stage_in_use(self) -> int:
        """The ZeRO stage that DeepSpeed is given: see ``zero_stage``."""
        return max(self.zero_stage, 2) if self.dtype == "bfloat16" else self.zero_stage

    @property
    def num_shards(self) -> int:
        """Parts that a step is divided in: num_ranks / sequence_parallel_size."""
        return self.num_ranks // self.sequence_parallel_size

    def __post_init__(self) -> None:
        at_least("learner.num_ranks", self.num_ranks, 1)
        above("learner.cpus_per_rank", self.cpus_per_rank, 0)
        at_least("learner.threads", self.threads, 1)
        check_placement("learner", self.resources, self.labels)
        one_of("learner.dtype", self.dtype, DTYPES)
        if self.zero_stage not in (0, 1, 2, 3):
            raise ValueError(f"learner.zero_stage={self.zero_stage}: needs 0, 1, 2 or 3.")
        above("learner.lr", self.lr, 0)
        if len(self.betas) != 2:
            raise ValueError(f"learner.betas={self.betas}: needs two numbers.")
        above("learner.grad_clip", self.grad_clip, 0)
        one_of("learner.schedule", self.schedule, SCHEDULES)
        at_least("learner.warmup_updates", self.warmup_updates, 0)
        at_least("learner.lr_floor", self.lr_floor, 0)
        if self.lr_floor and self.schedule != "cosine":
            raise ValueError(
                f"learner.lr_floor={self.lr_floor:g}: learner.schedule={self.schedule} has no floor; needs cosine, or "
                "learner.lr_floor=0."
            )
        at_least("learner.max_tokens_per_microbatch", self.max_tokens_per_microbatch, 1)
        if self.offload_optimizer and self.zero_stage == 0:
            raise ValueError(
                "learner.offload_optimizer=true: learner.zero_stage=0 leaves the optimizer whole; needs 1, 2 or 3."
            )
        if self.offload_parameters and self.zero_stage != 3:
            raise ValueError(
                f"learner.offload_parameters=true: learner.zero_stage={self.zero_stage} leaves the parameters whole; "
                "needs 3."
            )
        for setting, key in OWN_SETTINGS.items():
            if is_set(self.deepspeed, setting.split("."), f"learner.deepspeed.{setting}"):
                raise ValueError(f"learner.deepspeed.{setting}: is r1ray's to say; needs {key or 'to be left out'}.")
        at_least("learner.sequence_parallel_size", self.sequence_parallel_size, 1)
        if self.num_ranks % self.sequence_parallel_size:
            raise ValueError(
                f"learner.sequence_parallel_size={self.sequence_parallel_size} does not divide "
                f"learner.num_ranks={self.num_ranks}: needs one of {', '.join(map(str, divisors(self.num_ranks)))}."
            )


@dataclass
class WeightsConfig:
    """The publish of new weights to the rollout engines."""

    backend: str = "auto"
    """``nccl`` where the engines have GPUs, ``gloo`` where they have not."""
    bucket_mib: int = 256
    probe_every: int = 50
    """The parity probe, which compares log-probabilities of engines and learner, runs at publishes 0, 1, 2, 4, 8, ...
    and then at every so-manieth one; and after a step whose fresh tokens differ by more than those of the first steps.
    (That an engine holds what it was sent is compared exactly, at every publish.)"""
    probe_tolerance: float | None = None
    """Largest mean of |log p(engine) - log p(learner)| that passes, nats. None: 1e-4, and 0.15 where engines or learner
    compute in bfloat16."""
    probe_kl: float | None = None
    """Largest KL divergence that passes. None: 1e-6, and 0.03 where engines or learner compute in bfloat16."""
    probe_tokens: int = 512
    """Tokens of the probe, of the first training prompts."""

    def bounds(self, *dtypes: str) -> tuple[float, float]:
        """probe_tolerance and probe_kl, with None decided by what engines and learner compute in."""
        mean, kl = PROBE_BOUNDS["bfloat16" if "bfloat16" in dtypes else "float32"]
        return self.probe_tolerance or mean, self.probe_kl or kl

    def __post_init__(self) -> None:
        one_of("weights.backend", self.backend, BACKENDS)
        at_least("weights.bucket_mib", self.bucket_mib, 1)
        at_least("weights.probe_every", self.probe_every, 1)
        at_least("weights.probe_tokens", self.probe_tokens, 2)
        for key in ("probe_tolerance", "probe_kl"):
            if (bound := getattr(self, key)) is not None:
                above(f"weights.{key}", bound, 0)
