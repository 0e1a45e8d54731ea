"""Rollout engines, learner, and the weights between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from r1ray.config.router import RouterConfig
from r1ray.config.values import (
    MAX_ACTORS,
    MAX_THREADS,
    above,
    at_least,
    between,
    check_placement,
    divisors,
    is_set,
    one_of,
    seconds,
    share,
)

DTYPES = ("float32", "bfloat16")
QUANTIZATIONS = ("fp8",)
PACKINGS = ("flat", "tree")
SCHEDULES = ("constant", "linear", "cosine")
EXPORTS = ("merged", "adapter")
BACKENDS = ("auto", "nccl", "gloo", "ipc")
PROBE_BOUNDS = {"float32": (1e-4, 1e-6), "bfloat16": (0.15, 0.03), "fp8": (0.3, 0.1)}
"""Mean difference and KL divergence of a parity probe."""
MAX_SEEDED_TOKENS = 2**16
"""Of one step of an engine on CPUs: their activations have to fit into memory."""
ARGUMENTS_OF_A_NODE = frozenset({"nnodes", "node_rank", "master_addr", "master_port", "distributed_executor_backend"})
"""Of vLLM: what is r1ray's to say."""
OWN_ARGUMENTS = {
    "model": "model",
    "dtype": "{section}.dtype",
    "quantization": "{section}.quantization",
    "seed": "seed",
    "max_num_seqs": "{section}.max_num_seqs",
    "max_num_batched_tokens": "{section}.max_num_batched_tokens",
    "max_model_len": "data.max_prompt_tokens and algo.max_completion_tokens",
    "gpu_memory_utilization": "{section}.gpu_memory_utilization",
    "trust_remote_code": "trust_remote_code=true of the run",
    "logprobs_mode": "to be left out",
    "weight_transfer_config": "to be left out",
}
"""Further ones, and what is needed in their place."""
EXACT_REJECTION = ("standard", "block")
"""Values of vLLM's ``rejection_sample_method`` that are exact: what is accepted is distributed as the model itself
would sample it, and has the model's log-probability."""
MAX_LORA_RANK = 512
"""That vLLM makes room for."""

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
    """Number of engines at the start of a run."""
    min_actors: int = 1
    """Smallest number of engines with which a run goes on. A lost engine is replaced; while that cannot be done, the
    run goes on with the others if there are so many. Unit: engines."""
    max_actors: int | None = None
    """Largest number of engines. Engines join a live run up to this number as soon as the cluster has room beside what
    the run needs. Room for one more is asked for at a time, so that an autoscaler starts a node. null: ``num_actors``.
    Unit: engines."""
    silent_s: float = 60.0
    """Time without any answer after which an engine counts as lost. (One whose processes were stopped is found at
    once.) Unit: seconds."""
    cpus_per_actor: float = 1.0
    """CPUs that Ray reserves for one engine. Unit: CPUs."""
    gpus_per_actor: int | None = None
    """GPUs of one engine, on all its nodes together. null: one for each of its nodes if the cluster has GPUs, else
    none. With several GPUs on a node, an engine is tensor-parallel inside that node. Unit: GPUs."""
    nodes_per_actor: int = 1
    """Nodes that one engine is spread over. Each node gives an equal part of the engine's CPUs and GPUs, and the layers
    are cut into as many pipeline stages, unless ``engine_args`` says otherwise."""
    resources: dict[str, float] = field(default_factory=dict)
    """Custom Ray resources that one engine takes, ``{rollout_node: 0.001}``: it is placed on a node that has them."""
    labels: dict[str, str] = field(default_factory=dict)
    """Ray labels that the engine's node must have: ``{tier: rollout}``, ``{zone: "in(a, b)"}``, ``{tier: "!spot"}``."""
    threads: int = 1
    """Torch threads of one engine on CPUs. It has no effect on GPUs."""
    dtype: str = "bfloat16"
    """Number format of the engine's weights and computation: ``float32`` or ``bfloat16``."""
    quantization: str | None = None
    """``fp8``: the engine's linear layers are 8-bit, which it makes of the weights of each version itself; it needs
    GPUs. What it samples from then differs from what learns: ``algo.correction=auto`` is ``token_tis`` with it, and
    parity probes have wider bounds. null: as in ``dtype``."""
    max_num_seqs: int = 256
    """Sequences that one engine generates at a time. A larger number needs more cache."""
    max_num_batched_tokens: int = 8192
    """Largest number of tokens that one step of an engine processes. It is raised to the longest sequence if that is
    longer. Unit: tokens."""
    gpu_memory_utilization: float = 0.85
    """Share of a GPU's memory that vLLM takes for weights, activations and cache. Unit: share."""
    cpu_kv_cache_gib: int = 1
    """Memory of an engine on CPUs for the cache of keys and values. Unit: GiB."""
    seeded: bool = False
    """Give each completion a seed of its own, so that a repeated run draws the same completions. vLLM then samples one
    request after the other. On CPUs no prompt may be split among steps of such an engine (its random generators cannot
    go back, which ends the engine), so ``max_num_batched_tokens`` is raised to what all sequences can need."""
    engine_args: dict[str, Any] = field(default_factory=dict)
    """Further arguments of vLLM's AsyncEngineArgs, by their names: ``{enforce_eager: true}``."""
    section: ClassVar[str] = "rollout"
    own_arguments: ClassVar[Mapping[str, str]] = OWN_ARGUMENTS

    @property
    def slots(self) -> int:
        """Trajectories that one engine is given at a time: an eighth more than it generates. Those wait inside it, so
        that the place of one that has ended is taken at the engine's next step, not after a round trip."""
        return self.max_num_seqs + self.max_num_seqs // 8

    @property
    def asked_at_a_time(self) -> int:
        """Trajectories that a recipe which only samples asks for at a time, twice what the engines generate: one lot
        runs, one waits."""
        return 2 * self.num_actors * self.max_num_seqs

    @property
    def most_actors(self) -> int:
        """``max_actors`` with None decided."""
        return self.num_actors if self.max_actors is None else self.max_actors

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
        if self.quantization is not None and not num_gpus:
            return (
                f"{section}.quantization={self.quantization}: engines on CPUs have no 8-bit layers; needs GPUs, or "
                f"{section}.quantization=null"
            )
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
        section = self.section
        between(f"{section}.num_actors", self.num_actors, 1, MAX_ACTORS)
        between(f"{section}.nodes_per_actor", self.nodes_per_actor, 1, MAX_ACTORS)
        between(f"{section}.threads", self.threads, 1, MAX_THREADS)
        self._check_bounds()
        for key in ("max_num_seqs", "max_num_batched_tokens", "cpu_kv_cache_gib"):
            at_least(f"{section}.{key}", getattr(self, key), 1)
        above(f"{section}.cpus_per_actor", self.cpus_per_actor, 0)
        if self.gpus_per_actor is not None:
            at_least(f"{section}.gpus_per_actor", self.gpus_per_actor, 0)
        share(f"{section}.gpu_memory_utilization", self.gpu_memory_utilization)
        one_of(f"{section}.dtype", self.dtype, DTYPES)
        if self.quantization is not None:
            one_of(f"{section}.quantization", self.quantization, QUANTIZATIONS)
            if self.gpus_per_actor == 0:
                raise ValueError(f"{self.why_not(section, 0)}.")
        check_placement(section, self.resources, self.labels)
        self._check_engine_args()
        self._check_speculation()

    def _check_bounds(self) -> None:
        """Raise ValueError for numbers of engines that do not fit each other."""
        section, at_start = self.section, f"{self.section}.num_actors={self.num_actors}"
        if not 1 <= self.min_actors <= self.num_actors:
            raise ValueError(f"{section}.min_actors={self.min_actors}: needs 1 to {at_start}.")
        if self.max_actors is not None and not self.num_actors <= self.max_actors <= MAX_ACTORS:
            raise ValueError(f"{section}.max_actors={self.max_actors}: needs {at_start} to {MAX_ACTORS}.")
        seconds(f"{section}.silent_s", self.silent_s)

    def _check_engine_args(self) -> None:
        """Raise ValueError for an argument of vLLM that r1ray decides, or that an engine here cannot have. The names of
        the others are looked up in :mod:`r1ray.rollout.engine_arguments`."""
        section = f"{self.section}.engine_args"
        for key in ("tensor_parallel_size", "pipeline_parallel_size"):
            size = self.engine_args.get(key, 1)
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise ValueError(f"{section}.{key}={size}: needs a whole number of at least 1.")
        for key in ("data_parallel_size", "prefill_context_parallel_size"):
            if self.engine_args.get(key, 1) != 1:
                raise ValueError(
                    f"{section}.{key}={self.engine_args[key]}: an engine is tensor- and pipeline-parallel "
                    f"alone, and replicated by {self.section}.num_actors; needs 1."
                )
        for key in sorted(self.engine_args):
            if key.startswith("data_parallel_") and key != "data_parallel_size":
                raise ValueError(
                    f"{section}.{key}: is of data-parallel engines, and an engine is replicated by "
                    f"{self.section}.num_actors; needs to be left out."
                )
        if of_a_node := sorted(ARGUMENTS_OF_A_NODE & self.engine_args.keys()):
            raise ValueError(
                f"{section}.{of_a_node[0]}: is found out where the engine runs; needs to be left out, and "
                f"{self.section}.nodes_per_actor for an engine on several nodes."
            )
        for key, needed in self.own_arguments.items():
            if key in self.engine_args:
                raise ValueError(f"{section}.{key}: is r1ray's to say; needs {needed.format(section=self.section)}.")

    def _check_speculation(self) -> None:
        """Raise ValueError for drafts after which tokens would not be samples of the policy, or lack its
        log-probabilities."""
        key, settings = f"{self.section}.engine_args.speculative_config", self.engine_args.get("speculative_config")
        if settings is None:
            return
        if not isinstance(settings, Mapping) or not settings.get("num_speculative_tokens"):
            raise ValueError(f"{key}={settings}: needs {{method: ngram, num_speculative_tokens: 4}}, or the like.")
        method = settings.get("rejection_sample_method", EXACT_REJECTION[0])
        if method not in EXACT_REJECTION:
            raise ValueError(
                f"{key}.rejection_sample_method={method}: accepts tokens that the model would not sample, whose "
                f"log-probabilities are of no use to learning; needs one of {', '.join(EXACT_REJECTION)}."
            )


@dataclass
class JudgeEngineConfig(RolloutConfig):
    """The engines of a judge: its messages name their own keys."""

    section: ClassVar[str] = "judge.engine"
    own_arguments: ClassVar[Mapping[str, str]] = OWN_ARGUMENTS | {
        "model": "judge.model",
        "max_model_len": "judge.max_model_len",
    }

    def _check_bounds(self) -> None:
        """Raise ValueError for settings of engines that are replaced, or join a run: Ray starts a judge again by
        itself."""
        super()._check_bounds()
        for key in ("min_actors", "max_actors", "silent_s"):
            if (found := getattr(self, key)) != getattr(RolloutConfig, key):
                raise ValueError(f"judge.engine.{key}={found}: has no effect on a judge; needs to be left out.")


@dataclass
class LoraConfig:
    """Low-rank adapters: train these instead of the model."""

    rank: int = 0
    """Rank of the adapters. 0 trains the whole model instead."""
    alpha: float = 32.0
    """Scale of the adapters: what they add is multiplied by alpha / rank."""
    targets: list[str] | None = None
    """Names of the linear layers that get an adapter, ``[q_proj, v_proj]``. null: all but the output layer."""
    publish: str = "auto"
    """Form in which adapters reach the engines: ``native``, ``merged`` or ``auto``. ``native``: as adapters, and vLLM
    adds what they compute. ``merged``: as part of the weights, which in bfloat16 rounds most of what was trained away.
    ``auto``: merged for float32 engines on CPUs, which generate only a third as many tokens with native adapters; else
    native."""

    export: str = "merged"
    """Form of the model that a run ends with: ``merged`` or ``adapter``. ``merged``: a whole model, summed in float32
    and rounded to ``learner.dtype`` (bfloat16 loses what is below 1/256 of a weight). ``adapter``: the adapter alone,
    as peft loads it."""

    def is_native(self, *, has_gpus: bool, engine_dtype: str) -> bool:
        """``publish`` with auto decided."""
        if not self.rank or self.publish == "merged":
            return False
        return self.publish == "native" or has_gpus or engine_dtype != "float32"

    def __post_init__(self) -> None:
        between("learner.lora.rank", self.rank, 0, MAX_LORA_RANK)
        one_of("learner.lora.publish", self.publish, ("auto", "native", "merged"))
        one_of("learner.lora.export", self.export, EXPORTS)
        above("learner.lora.alpha", self.alpha, 0)
        if self.targets is not None and not self.targets:
            raise ValueError("learner.lora.targets=[]: needs names of linear layers, or null.")


@dataclass
class LearnerConfig:
    """The DeepSpeed learner group."""

    num_ranks: int = 1
    """Number of learner processes (ranks)."""
    cpus_per_rank: float = 1.0
    """CPUs that Ray reserves for one rank. Unit: CPUs."""
    gpus_per_rank: int | None = None
    """GPUs of one rank. null: one if the cluster has GPUs, else none. Unit: GPUs."""
    resources: dict[str, float] = field(default_factory=dict)
    """Custom Ray resources that one rank takes, in the form of ``rollout.resources``."""
    labels: dict[str, str] = field(default_factory=dict)
    """Ray labels that a rank's node must have, in the form of ``rollout.labels``."""
    threads: int = 1
    """Torch threads of one rank on the CPU."""
    dtype: str = "bfloat16"
    """Number format of the parameters and their products: ``float32`` or ``bfloat16``. Gradients are accumulated, and
    master weights and moments are kept, in float32: 16 bytes a parameter, beside 2 bytes for the parameter itself in
    ``bfloat16`` and 4 in ``float32`` (which needs no master weights without ZeRO)."""
    zero_stage: int = 2
    """ZeRO stage, 0 to 3: ranks divide the optimizer state (1), also the gradients (2), also the parameters (3). In
    bfloat16, stages 0 and 1 are run as 2: without ZeRO, DeepSpeed adds micro-batches up in bfloat16, and its stage 1
    keeps whole float32 gradients on every rank."""
    lr: float = 3e-6
    """Learning rate, after the warm-up."""
    betas: list[float] = field(default_factory=lambda: [0.9, 0.95])
    """The two decay rates of AdamW's moments."""
    epsilon: float = 1e-8
    """Epsilon of AdamW, added to the root of the second moment."""
    weight_decay: float = 0.0
    """Weight decay of AdamW."""
    grad_clip: float = 1.0
    """Largest norm of the gradient of an update. A longer gradient is scaled down to it."""
    schedule: str = "constant"
    """Course of the learning rate after the warm-up: ``constant``, ``linear`` (down to 0) or ``cosine`` (down to
    ``lr_floor``)."""
    lr_floor: float = 0.0
    """Learning rate at the end of a cosine schedule, as a share of ``lr``. The paper's fine-tuning ends at 0.1. Unit:
    share."""
    warmup_updates: int = 0
    """Optimizer updates in which the learning rate rises from 0 to ``lr``. Unit: updates."""
    max_tokens_per_microbatch: int = 16384
    """Largest number of tokens in one forward and backward pass. Sequence-parallel ranks share them. A smaller number
    needs less memory; the longest sequence has to fit. Unit: tokens."""
    packing: str = "flat"
    """Form of a micro-batch: ``flat``, sequences end to end, or ``tree``, which computes each common beginning of
    sequences once, such as the prompt of a group. Losses and gradients are the same to rounding. A model that computes
    a tree otherwise than its sequences is packed flat."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass instead of keeping them: less memory, more time."""
    offload_optimizer: bool = False
    """Keep master weights and moments in host memory and update there. It needs ``zero_stage`` 1 or above."""
    offload_parameters: bool = False
    """Keep the parameters in host memory too. It needs ``zero_stage`` 3."""
    sequence_parallel_size: int = 1
    """Ranks that compute each sequence together, a part of its tokens each (DeepSpeed's Ulysses), for long sequences.
    It has to divide ``num_ranks``."""
    max_restarts: int = 3
    """Restarts of a lost learner group inside the run, in a row without a new checkpoint in between. One more loss ends
    the run, and so does a second crash in a row after the same step. 0: the first loss ends it."""
    lora: LoraConfig = field(default_factory=LoraConfig)
    router: RouterConfig = field(default_factory=RouterConfig)
    deepspeed: dict[str, Any] = field(default_factory=dict)
    """Further settings of DeepSpeed, laid over those that r1ray makes: ``{zero_optimization: {overlap_comm: true,
    reduce_bucket_size: 200000000}}``."""

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
        between("learner.num_ranks", self.num_ranks, 1, MAX_ACTORS)
        above("learner.cpus_per_rank", self.cpus_per_rank, 0)
        if self.gpus_per_rank is not None:
            between("learner.gpus_per_rank", self.gpus_per_rank, 0, 1)
        between("learner.threads", self.threads, 1, MAX_THREADS)
        at_least("learner.max_restarts", self.max_restarts, 0)
        check_placement("learner", self.resources, self.labels)
        one_of("learner.dtype", self.dtype, DTYPES)
        if self.zero_stage not in (0, 1, 2, 3):
            raise ValueError(f"learner.zero_stage={self.zero_stage}: needs 0, 1, 2 or 3.")
        self._check_optimizer()
        if self.lr_floor and self.schedule != "cosine":
            raise ValueError(
                f"learner.lr_floor={self.lr_floor:g}: learner.schedule={self.schedule} has no floor; needs cosine, or "
                "learner.lr_floor=0."
            )
        at_least("learner.max_tokens_per_microbatch", self.max_tokens_per_microbatch, 1)
        one_of("learner.packing", self.packing, PACKINGS)
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
        if self.router.bias_speed and self.lora.rank:
            raise ValueError(
                f"learner.router.bias_speed={self.router.bias_speed:g}: with learner.lora.rank={self.lora.rank} the "
                "model itself stays as it is; needs learner.router.bias_speed=0."
            )
        if self.router.is_balanced and self.sequence_parallel_size > 1:
            raise ValueError(
                f"learner.sequence_parallel_size={self.sequence_parallel_size}: the load of experts is balanced over "
                "whole sequences; needs 1, or learner.router.loss_coefficient=0 and learner.router.bias_speed=0."
            )

    def _check_optimizer(self) -> None:
        above("learner.lr", self.lr, 0)
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"learner.betas={self.betas}: needs two numbers of at least 0 and below 1.")
        above("learner.epsilon", self.epsilon, 0)
        between("learner.weight_decay", self.weight_decay, 0, 1)
        above("learner.grad_clip", self.grad_clip, 0)
        one_of("learner.schedule", self.schedule, SCHEDULES)
        at_least("learner.warmup_updates", self.warmup_updates, 0)
        between("learner.lr_floor", self.lr_floor, 0, 1)


@dataclass
class WeightsConfig:
    """The publish of new weights to the rollout engines."""

    backend: str = "auto"
    """Transport of the weights: ``nccl``, ``gloo``, ``ipc`` (inside a GPU, with ``placement=colocated``), or ``auto``,
    which is ``gloo`` if the engines have no GPUs, else ``ipc`` if they share them with the learner, else ``nccl``."""
    bucket_mib: int = 256
    """Size of the pieces in which weights are sent. Unit: MiB."""
    snapshot: bool = True
    """Keep the last published version in the memory of learner rank 0's node. An engine that comes later takes it from
    there while the learner trains."""
    probe_every: int = 50
    """Publishes between two parity probes, which compare log-probabilities of engines and learner. The first probes are
    at publishes 0, 1, 2, 4, 8, ...; one more follows a step whose fresh tokens differ by more than those of the first
    steps. (That an engine holds what it was sent is compared exactly, at every publish.) Unit: publishes."""
    probe_tolerance: float | None = None
    """Largest mean of |log p(engine) - log p(learner)| with which a probe passes. null: 1e-4, or 0.15 if engines or
    learner compute in bfloat16, or 0.3 with ``rollout.quantization``. Unit: nats."""
    probe_kl: float | None = None
    """Largest KL divergence with which a probe passes. null: 1e-6, or 0.03 if engines or learner compute in bfloat16,
    or 0.1 with ``rollout.quantization``. Unit: nats."""
    probe_tokens: int = 512
    """Tokens that a probe compares, taken from the first training prompts. Unit: tokens."""

    def bounds(self, *formats: str | None) -> tuple[float, float]:
        """probe_tolerance and probe_kl, with None decided by what engines and learner compute in: dtypes, and
        ``rollout.quantization``."""
        mean, kl = PROBE_BOUNDS[next(name for name in ("fp8", "bfloat16", "float32") if name in formats)]
        return self.probe_tolerance or mean, self.probe_kl or kl

    def __post_init__(self) -> None:
        one_of("weights.backend", self.backend, BACKENDS)
        between("weights.bucket_mib", self.bucket_mib, 1, 2**16)
        at_least("weights.probe_every", self.probe_every, 1)
        at_least("weights.probe_tokens", self.probe_tokens, 2)
        for key in ("probe_tolerance", "probe_kl"):
            if (bound := getattr(self, key)) is not None:
                above(f"weights.{key}", bound, 0)
