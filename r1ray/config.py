"""The configuration: plain dataclasses, each section checked when it is built.

These classes are the schema and hold the defaults (the paper's, where the paper gives one); YAML in ``conf/`` only
sets values. Everything raises ``ValueError`` with the value found, the value needed and the key.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

AGGREGATIONS = ("seq_mean", "token_mean", "seq_sum", "fixed_length")
BASELINES = ("group", "leave_one_out", "batch")
ADVANTAGE_STDS = ("sample", "population", "others", "batch", "token_sample", "token_population", "none")
EPSILON_PLACES = ("std", "variance", "floor")
SURROGATES = ("clip", "weight", "reinforce")
RATIOS = ("token", "sequence")
KL_ESTIMATORS = ("k1", "abs", "k2", "k3")
KL_PLACEMENTS = ("loss", "reward")
CORRECTIONS = ("auto", "none", "token_tis", "token_mask", "sequence_tis", "sequence_mask", "geometric_mask")
TEMPLATES = ("r1_zero", "chat", "none")
DTYPES = ("float32", "bfloat16")
SCHEDULES = ("constant", "linear", "cosine")
BACKENDS = ("auto", "nccl", "gloo")
COMBINATIONS = ("sum", "gated", "normalised")
CHECK_TYPES = ("math", "code", "format", "choice", "reading", "instructions", "judged", "pairwise", "command")
SANDBOX_MODES = ("auto", "bubblewrap", "landlock", "none")
SUPERVISED_RECIPES = ("sft", "reward_model")
"""Recipes that train on given answers: they sample nothing and reward nothing."""
SAMPLING_RECIPES = ("collect", "evaluate")
"""Recipes that put prompts to a model, and train nothing."""
PROMPTS_OF = {"collect": "train", "evaluate": "eval", "extend": None}
"""The key of ``data`` that recipes without a learner read."""


def _one_of(key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{key}={value}: needs one of {', '.join(allowed)}.")


def _at_least(key: str, value: float, least: float) -> None:
    if value < least:
        raise ValueError(f"{key}={value}: needs at least {least:g}.")


def _above(key: str, value: float, bound: float) -> None:
    if value <= bound:
        raise ValueError(f"{key}={value}: needs to be above {bound:g}.")


def _check_sampling(section: str, temperature: float | None, top_p: float | None) -> None:
    if temperature is not None:
        _at_least(f"{section}temperature", temperature, 0)
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"{section}top_p={top_p}: needs to be above 0 and at most 1.")


def _divisors(value: int) -> list[int]:
    return [n for n in range(1, value + 1) if value % n == 0]


@dataclass
class PrepareConfig:
    """An optional first stage that makes the model and the prompts instead of taking the user's."""

    maker: str | None = None
    """``package.module:function``, called as ``function(out_dir, seed=..., log=..., **options)``. It writes
    ``out_dir/model``, ``out_dir/train.parquet`` and ``out_dir/heldout.parquet``."""
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class DataConfig:
    """Where prompts come from and how they are shown to the model."""

    train: str | None = None
    """Parquet or JSON lines; a local path, or s3:// or gs://."""
    eval: str | None = None
    """Held-out prompts in the same form; None turns evaluation off."""
    template: str = "r1_zero"
    """``r1_zero`` (the paper's Table 1), ``chat`` (the tokenizer's own), or ``none`` (the prompt as it stands)."""
    max_prompt_tokens: int = 1024
    mixture: Any = None
    """Ratio of each domain among the training prompts, ``{math: 3, general: 1}``; other domains are left out. A domain
    too small for its ratio starts over earlier than the others. None: as the file has them."""

    def __post_init__(self) -> None:
        _one_of("data.template", self.template, TEMPLATES)
        _at_least("data.max_prompt_tokens", self.max_prompt_tokens, 1)
        if self.mixture is not None:
            self.mixture = _mixture(self.mixture)


def _mixture(value: Any) -> dict[str, float]:
    if not isinstance(value, dict) or not value:
        raise ValueError(f"data.mixture={value}: needs an object such as {{math: 3, general: 1}}.")
    for domain, ratio in value.items():
        if isinstance(ratio, bool) or not isinstance(ratio, int | float) or ratio <= 0:
            raise ValueError(f"data.mixture.{domain}={ratio}: needs a number above 0.")
    return {str(domain): ratio for domain, ratio in value.items()}


@dataclass
class AlgoConfig:
    """GRPO's numbers. The defaults are the paper's."""

    group_size: int = 16
    """G, the completions of one prompt."""
    prompts_per_step: int = 512
    """Groups that one step trains on; the paper's 8,192 outputs are 512 groups of 16."""
    minibatches_per_step: int = 16
    """Optimizer updates of one step, one pass over its groups."""
    max_staleness: int = 0
    """Policy versions that generation may run ahead of learning; 0 is exactly on-policy."""
    surrogate: str = "clip"
    """What is maximised of each token: ``clip``: min(rho A, clip(rho) A) (the paper). ``weight``: sg(clip(rho)) A
    log pi (CISPO). ``reinforce``: A log pi."""
    ratio: str = "token"
    """rho: of each ``token`` (the paper), or of the whole ``sequence``, the geometric mean of its tokens (GSPO)."""
    log_ratio_clamp: float | None = None
    """Largest |log rho|, beyond which there is no gradient; None: none."""
    clip_low: float = 10.0
    """rho is clipped to 1 - clip_low .. 1 + clip_high."""
    clip_high: float = 10.0
    dual_clip: float | None = None
    """c: where A < 0, a token counts no less than c A; None: no such bound."""
    kl_coefficient: float = 0.001
    """beta; 0 loads no reference model."""
    kl_estimator: str = "k3"
    """``k1``, ``abs``, ``k2`` or ``k3`` (the paper): see :mod:`r1ray.algo.kl`."""
    kl_clamp: float | None = None
    """Largest |value| of the estimator, beyond which there is no gradient; None: none."""
    kl_placement: str = "loss"
    """``loss``: beside the policy term, of the policy that is trained (the paper). ``reward``: beta times the sum over
    the tokens of the output, of the policy that sampled, is taken off r_i before the baseline."""
    reference_refresh_updates: int = 400
    """The reference becomes the current policy after every so many optimizer updates; 0 keeps the first one."""
    aggregation: str = "seq_mean"
    """``seq_mean``: mean over the tokens of each output, then over outputs (the paper). ``token_mean``: mean over all
    tokens of the minibatch. ``seq_sum``: sum over the tokens of each output, then mean over outputs.
    ``fixed_length``: the same, divided by max_completion_tokens (Dr. GRPO)."""
    advantage_baseline: str = "group"
    """What is subtracted from r_i: the mean of its ``group`` (the paper), of the others (``leave_one_out``), or of the
    whole step (``batch``)."""
    advantage_std: str = "sample"
    """What (r - baseline) is divided by, the std of: the group's rewards (``sample``: ddof 1, ``population``: ddof 0),
    the group's ``others`` (ddof 1; not where it is 0), all rewards of the step (``batch``: ddof 1), all tokens of the
    step, whose mean is subtracted once more (whitening; ``token_sample``: ddof 1, ``token_population``: ddof 0); or
    ``none``."""
    advantage_epsilon: float = 1e-6
    """Keeps small standard deviations from making large advantages."""
    advantage_epsilon_in: str = "std"
    """Where it goes: added to the ``std`` or to the ``variance``, or the least value (``floor``) of the variance."""
    mask_truncated: bool = False
    """Leave outputs that the length limit cut out of the loss. Their rewards count in the baseline."""
    count_masked: bool = False
    """Whether outputs that are left out of the loss, or are empty, count among the outputs that a mean is taken of."""
    drop_uniform: bool = False
    """Dynamic sampling: a group whose rewards are all equal is dropped, and another one generated."""
    correction: str = "auto"
    """Weights for the rollout/learner mismatch: ``none``, ``token_tis`` (truncated importance weights), or ``auto``:
    ``token_tis`` where max_staleness is above 0. Others: see :mod:`r1ray.algo.mismatch`."""
    correction_floor: float = 0.0
    correction_cap: float = 2.0
    temperature: float = 1.0
    max_completion_tokens: int = 8192

    @property
    def completions_per_step(self) -> int:
        """prompts_per_step * group_size."""
        return self.prompts_per_step * self.group_size

    @property
    def resolved_correction(self) -> str:
        """``correction`` with ``auto`` decided by ``max_staleness``."""
        if self.correction != "auto":
            return self.correction
        return "token_tis" if self.max_staleness > 0 else "none"

    def __post_init__(self) -> None:
        if self.group_size < 2:
            raise ValueError(
                f"algo.group_size={self.group_size}: needs at least 2, an advantage compares completions of one prompt."
            )
        _at_least("algo.prompts_per_step", self.prompts_per_step, 1)
        _at_least("algo.max_staleness", self.max_staleness, 0)
        _at_least("algo.minibatches_per_step", self.minibatches_per_step, 1)
        if self.completions_per_step % self.minibatches_per_step:
            near = [n for n in _divisors(self.completions_per_step) if n <= self.minibatches_per_step][-1]
            raise ValueError(
                f"algo.minibatches_per_step={self.minibatches_per_step} does not divide the "
                f"{self.completions_per_step} completions of a step (algo.prompts_per_step={self.prompts_per_step} x "
                f"algo.group_size={self.group_size}): the nearest smaller value that does is {near}."
            )
        for key, allowed in (
            ("surrogate", SURROGATES),
            ("ratio", RATIOS),
            ("kl_estimator", KL_ESTIMATORS),
            ("kl_placement", KL_PLACEMENTS),
            ("aggregation", AGGREGATIONS),
            ("advantage_baseline", BASELINES),
            ("advantage_std", ADVANTAGE_STDS),
            ("advantage_epsilon_in", EPSILON_PLACES),
            ("correction", CORRECTIONS),
        ):
            _one_of(f"algo.{key}", getattr(self, key), allowed)
        _above("algo.clip_low", self.clip_low, 0)
        _above("algo.clip_high", self.clip_high, 0)
        for key in ("log_ratio_clamp", "kl_clamp"):
            if getattr(self, key) is not None:
                _above(f"algo.{key}", getattr(self, key), 0)
        _at_least("algo.correction_floor", self.correction_floor, 0)
        _above("algo.correction_cap", self.correction_cap, self.correction_floor)
        _above("algo.temperature", self.temperature, 0)
        _at_least("algo.kl_coefficient", self.kl_coefficient, 0)
        _at_least("algo.advantage_epsilon", self.advantage_epsilon, 0)
        _at_least("algo.reference_refresh_updates", self.reference_refresh_updates, 0)
        _at_least("algo.max_completion_tokens", self.max_completion_tokens, 1)
        self._check_objective()

    def _check_objective(self) -> None:
        """Raise ValueError where two choices do not go together."""
        if self.dual_clip is not None:
            _above("algo.dual_clip", self.dual_clip, 1)
            if self.surrogate != "clip":
                raise ValueError(
                    f"algo.dual_clip={self.dual_clip:g}: algo.surrogate={self.surrogate} has nothing to bound; needs "
                    "algo.dual_clip=null, or algo.surrogate=clip."
                )
        if self.surrogate == "reinforce" and self.ratio != "token":
            raise ValueError(
                f"algo.ratio={self.ratio}: algo.surrogate=reinforce has no ratio; needs algo.ratio=token, or "
                "algo.surrogate=clip."
            )
        if self.kl_placement == "reward" and self.kl_coefficient and self.advantage_std != "none":
            raise ValueError(
                f"algo.advantage_std={self.advantage_std}: algo.kl_placement=reward takes the KL off rewards that are "
                "only centred; needs algo.advantage_std=none, or algo.kl_placement=loss."
            )
        if self.advantage_std == "others" and self.group_size < 3:
            raise ValueError(
                f"algo.group_size={self.group_size}: algo.advantage_std=others is the std of the other completions; "
                "needs at least 3, or algo.advantage_std=sample."
            )


@dataclass
class RolloutConfig:
    """The vLLM engines."""

    num_actors: int = 1
    cpus_per_actor: float = 1.0
    gpus_per_actor: int | None = None
    """None: one where the cluster has GPUs, else none. Above one, the engine is tensor-parallel."""
    threads: int = 1
    """Torch threads of one engine on a CPU."""
    dtype: str = "bfloat16"
    max_num_seqs: int = 256
    """Sequences that one engine generates at a time."""
    max_num_batched_tokens: int = 8192
    gpu_memory_utilization: float = 0.85
    cpu_kv_cache_gib: int = 1
    seeded: bool = True
    """Each completion has its own seed, so that a repeated run draws the same ones."""
    engine_args: dict[str, Any] = field(default_factory=dict)
    """Further arguments of ``vllm.AsyncEngineArgs``."""

    def __post_init__(self) -> None:
        _at_least("rollout.num_actors", self.num_actors, 1)
        _at_least("rollout.threads", self.threads, 1)
        _at_least("rollout.max_num_seqs", self.max_num_seqs, 1)
        _above("rollout.cpus_per_actor", self.cpus_per_actor, 0)
        _one_of("rollout.dtype", self.dtype, DTYPES)


@dataclass
class RewardPart:
    """One named part of the reward."""

    weight: float = 1.0
    """The total is the weighted sum; a part of weight 0 is only logged."""
    function: str | None = None
    """``package.module:function``, called as ``function(prompt, response)``; None takes the model of the part's name in
    ``reward.models``, r1ray's own function of that name, or the one that an installed package offers under it (entry
    point group ``r1ray.rewards``)."""
    options: dict[str, Any] = field(default_factory=dict)
    """Further keyword arguments of the function."""
    checks: list[str] | None = None
    """Only prompts with these types of check have the part (math, code, format); None: all."""
    domains: list[str] | None = None
    """Only prompts of these domains have the part; None: all."""
    from_step: int = 0
    """The part counts from this step on (the first is step 1); before, it is only logged."""
    deadline_s: float = 60.0
    """For a function that is not r1ray's own, or a call of a model: after so long it is an infrastructure error, never
    a zero."""


def _reward_part(name: str, part: Any) -> RewardPart:
    if isinstance(part, RewardPart):
        return part
    if not isinstance(part, dict):
        raise ValueError(f"reward.parts.{name}={part}: needs an object such as {{weight: 1.0, function: null}}.")
    known = [key.name for key in fields(RewardPart)]
    unknown = sorted(set(part) - set(known))
    if unknown:
        raise ValueError(f"reward.parts.{name}.{unknown[0]}: no such key; needs one of {', '.join(known)}.")
    for key in ("weight", "deadline_s"):
        value = part.get(key, 1.0)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"reward.parts.{name}.{key}={value}: needs a number.")
    for key in ("checks", "domains"):
        if part.get(key) is not None and not isinstance(part[key], list):
            raise ValueError(f"reward.parts.{name}.{key}={part[key]}: needs a list.")
    for check in part.get("checks") or ():
        _one_of(f"reward.parts.{name}.checks", check, CHECK_TYPES)
    from_step = part.get("from_step", 0)
    if isinstance(from_step, bool) or not isinstance(from_step, int) or from_step < 0:
        raise ValueError(f"reward.parts.{name}.from_step={from_step}: needs a number of a step.")
    options = part.get("options") or {}
    if not isinstance(options, dict):
        raise ValueError(f"reward.parts.{name}.options={options}: needs an object of keyword arguments.")
    return RewardPart(
        weight=float(part.get("weight", 1.0)),
        function=part.get("function"),
        options=dict(options),
        checks=None if part.get("checks") is None else list(part["checks"]),
        domains=None if part.get("domains") is None else [str(domain) for domain in part["domains"]],
        from_step=from_step,
        deadline_s=float(part.get("deadline_s", 60.0)),
    )


@dataclass
class VerifierConfig:
    """The math verifier of one reward actor."""

    num_processes: int = 1
    deadline_s: float = 2.0
    memory_mib: int = 3072

    def __post_init__(self) -> None:
        _at_least("reward.verifier.num_processes", self.num_processes, 1)
        _above("reward.verifier.deadline_s", self.deadline_s, 0)
        _at_least("reward.verifier.memory_mib", self.memory_mib, 512)


@dataclass
class SandboxConfig:
    """The sandbox of one reward actor; there is one where prompts are checked by running code."""

    mode: str = "auto"
    """``bubblewrap`` (namespaces, Landlock and seccomp), ``landlock`` (the latter two), ``auto``: the first of them
    that works. ``none`` runs programs without any isolation and needs ``unsafe``."""
    unsafe: bool = False
    """Allows ``mode=none``, for data whose every program you trust. It says so at every start."""
    num_slots: int = 1
    """Programs that run at a time; 0: one for each core."""
    python: str | None = None
    """The interpreter for Python programs; None: the system's."""
    cpu_s: float = 4.0
    """CPU time of one test case, where the data do not say; the wall clock ends it at three times that."""
    total_cpu_s: float = 40.0
    """CPU time of all test cases of one response."""
    memory_mib: int = 512
    output_kib: int = 4096
    partial: bool = False
    """Whether the reward is the share of passed cases; else all have to pass."""

    def __post_init__(self) -> None:
        _one_of("reward.sandbox.mode", self.mode, SANDBOX_MODES)
        if self.mode == "none" and not self.unsafe:
            raise ValueError(
                "reward.sandbox.mode=none runs what a model writes without any isolation: needs "
                "reward.sandbox.unsafe=true to say that this is meant."
            )
        _at_least("reward.sandbox.num_slots", self.num_slots, 0)
        for key in ("cpu_s", "total_cpu_s"):
            _above(f"reward.sandbox.{key}", getattr(self, key), 0)
        _at_least("reward.sandbox.memory_mib", self.memory_mib, 32)
        _at_least("reward.sandbox.output_kib", self.output_kib, 1)


@dataclass
class RewardConfig:
    """The reward actors and what they add up."""

    num_actors: int = 1
    cpus_per_actor: float = 0.0
    parts: dict[str, Any] = field(default_factory=dict)
    """A RewardPart for each name. (Any, because OmegaConf cannot add an entry of a dataclass's type from the command
    line; what is there is checked, and converted, here.)"""
    models: dict[str, Any] = field(default_factory=dict)
    """A PreferenceModelConfig for each name: its score is the part of the same name. (Any: as ``parts``.)"""
    combine: str = "sum"
    """``sum``: the weighted sum (the paper). ``gated``: the same, but 0 where the part ``gate`` is below 1.
    ``normalised``: each part is normalised over its group before it is weighted and added."""
    gate: str = "format"
    max_in_flight: int = 256
    """Chunks of completions that one reward actor holds at a time; others wait."""
    verifier: VerifierConfig = field(default_factory=VerifierConfig)
    sandbox: SandboxConfig = field(default_factory=SandboxConfig)

    def __post_init__(self) -> None:
        _at_least("reward.num_actors", self.num_actors, 1)
        _at_least("reward.max_in_flight", self.max_in_flight, 1)
        _one_of("reward.combine", self.combine, COMBINATIONS)
        self.parts = {name: _reward_part(name, part) for name, part in self.parts.items()}
        self.models = {name: _preference_model(name, model) for name, model in self.models.items()}
        if self.combine == "gated" and self.gate not in self.parts:
            raise ValueError(f"reward.gate={self.gate}: needs one of reward.parts: {', '.join(self.parts)}.")

    def weights_at(self, step: int) -> dict[str, float]:
        """The weight of each part that counts in a step."""
        return {name: part.weight for name, part in self.parts.items() if part.from_step <= step}

    def require_parts(self) -> None:
        """Raise ValueError where nothing is rewarded. (The section alone may be empty: conf/reward/ fills it.)"""
        if not self.parts:
            raise ValueError("reward.parts is empty: needs at least one part, as in reward=r1_zero.")


@dataclass
class LoraConfig:
    """Low-rank adapters: train these instead of the model."""

    rank: int = 0
    """0: none, the whole model is trained."""
    alpha: float = 32.0
    """What the adapters add is scaled by alpha / rank."""
    targets: list[str] | None = None
    """Names of the linear layers that get one; None: all but the output layer."""

    def __post_init__(self) -> None:
        _at_least("learner.lora.rank", self.rank, 0)
        _above("learner.lora.alpha", self.alpha, 0)


@dataclass
class LearnerConfig:
    """The DeepSpeed learner group."""

    num_ranks: int = 1
    cpus_per_rank: float = 1.0
    gpus_per_rank: int | None = None
    """None: one where the cluster has GPUs, else none."""
    threads: int = 1
    dtype: str = "bfloat16"
    zero_stage: int = 2
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

    @property
    def num_shards(self) -> int:
        """Parts that a step is divided in: num_ranks / sequence_parallel_size."""
        return self.num_ranks // self.sequence_parallel_size

    def __post_init__(self) -> None:
        _at_least("learner.num_ranks", self.num_ranks, 1)
        _above("learner.cpus_per_rank", self.cpus_per_rank, 0)
        _at_least("learner.threads", self.threads, 1)
        _one_of("learner.dtype", self.dtype, DTYPES)
        if self.zero_stage not in (0, 1, 2, 3):
            raise ValueError(f"learner.zero_stage={self.zero_stage}: needs 0, 1, 2 or 3.")
        _above("learner.lr", self.lr, 0)
        if len(self.betas) != 2:
            raise ValueError(f"learner.betas={self.betas}: needs two numbers.")
        _above("learner.grad_clip", self.grad_clip, 0)
        _one_of("learner.schedule", self.schedule, SCHEDULES)
        _at_least("learner.warmup_updates", self.warmup_updates, 0)
        _at_least("learner.lr_floor", self.lr_floor, 0)
        if self.lr_floor and self.schedule != "cosine":
            raise ValueError(
                f"learner.lr_floor={self.lr_floor:g}: learner.schedule={self.schedule} has no floor; needs cosine, or "
                "learner.lr_floor=0."
            )
        _at_least("learner.max_tokens_per_microbatch", self.max_tokens_per_microbatch, 1)
        if self.offload_optimizer and self.zero_stage == 0:
            raise ValueError(
                "learner.offload_optimizer=true: learner.zero_stage=0 leaves the optimizer whole; needs 1, 2 or 3."
            )
        if self.offload_parameters and self.zero_stage != 3:
            raise ValueError(
                f"learner.offload_parameters=true: learner.zero_stage={self.zero_stage} leaves the parameters whole; "
                "needs 3."
            )
        _at_least("learner.sequence_parallel_size", self.sequence_parallel_size, 1)
        if self.num_ranks % self.sequence_parallel_size:
            raise ValueError(
                f"learner.sequence_parallel_size={self.sequence_parallel_size} does not divide "
                f"learner.num_ranks={self.num_ranks}: needs one of {', '.join(map(str, _divisors(self.num_ranks)))}."
            )


@dataclass
class SupervisedConfig:
    """Training on given answers: of recipe=sft (imitation) and recipe=reward_model (preferences)."""

    train: str | None = None
    """Dialogues, or pairs of answers; Parquet or JSON lines; a local path, or s3:// or gs://."""
    eval: str | None = None
    """Held-out rows in the same form; None turns evaluation off."""
    epochs: int = 2
    """Times that every row is trained on; the paper's two (2.3.3)."""
    sequences_per_step: int = 128
    """Rows (dialogues, or pairs) of one optimizer update."""
    max_tokens: int = 32768
    """Rows with a longer dialogue are left out, and counted."""
    eval_every: int = 50
    """Steps between two evaluations during training; 0 leaves only the first and the last."""
    eval_rows: int = 512
    """Held-out rows of an evaluation."""

    def __post_init__(self) -> None:
        for key in ("epochs", "sequences_per_step", "eval_rows"):
            _at_least(f"supervised.{key}", getattr(self, key), 1)
        _at_least("supervised.max_tokens", self.max_tokens, 2)
        _at_least("supervised.eval_every", self.eval_every, 0)


@dataclass
class WeightsConfig:
    """The publish of new weights to the rollout engines."""

    backend: str = "auto"
    """``nccl`` where the engines have GPUs, ``gloo`` where they have not."""
    bucket_mib: int = 256
    probe_every: int = 50
    """The parity probe runs at the first publish and at every so-manieth one."""
    probe_tolerance: float = 0.05
    """Largest |log p(engine) - log p(learner)| that passes, nats. bfloat16 needs about 0.05, float32 1e-4."""
    probe_tokens: int = 64

    def __post_init__(self) -> None:
        _one_of("weights.backend", self.backend, BACKENDS)
        _at_least("weights.bucket_mib", self.bucket_mib, 1)
        _at_least("weights.probe_every", self.probe_every, 1)
        _at_least("weights.probe_tokens", self.probe_tokens, 2)
        _above("weights.probe_tolerance", self.probe_tolerance, 0)


@dataclass
class EvalConfig:
    """Evaluation during training: the paper's sampling (section 3)."""

    every: int = 50
    """Steps between two evaluations during training; 0 leaves only the first and the last."""
    num_prompts: int = 64
    """Prompts of an evaluation during training."""
    samples: int = 4
    final_num_prompts: int = 128
    """Prompts of the evaluations before the first and after the last step."""
    final_samples: int = 16
    temperature: float = 0.6
    top_p: float = 0.95
    num_actors: int = 0
    """Engines that do nothing but evaluate, each as ``rollout`` has them. They get the weights of a version that is
    due, and training goes on. A version that is due while they are busy is not evaluated, nor one that a crash
    interrupts; the last one always is. 0: the rollout engines evaluate, and the next step waits for it
    (``time/eval_wait_s``)."""
    slots: int | None = None
    """Completions of an evaluation that are under way at a time. None: a quarter of what the rollout engines hold
    (``rollout.max_num_seqs`` each), so that rollouts keep the rest; all that engines of its own hold."""

    def __post_init__(self) -> None:
        _at_least("eval.every", self.every, 0)
        for key in ("num_prompts", "samples", "final_num_prompts", "final_samples"):
            _at_least(f"eval.{key}", getattr(self, key), 1)
        _check_sampling("eval.", self.temperature, self.top_p)
        _at_least("eval.num_actors", self.num_actors, 0)
        if self.slots is not None:
            _at_least("eval.slots", self.slots, 1)


@dataclass
class CheckpointConfig:
    """Checkpoints of the run: everything that a resumed run needs."""

    every: int = 50
    """Steps between two checkpoints; 0 writes none."""
    keep: int = 2
    """So many of the newest stay."""
    best: str | None = None
    """Name of a held-out figure (``pass@1``); the checkpoint with its highest value stays too."""
    asynchronous: bool = True
    """Train on while the files of a checkpoint are written, from a copy of the state in the host's memory."""

    def __post_init__(self) -> None:
        _at_least("checkpoint.every", self.every, 0)
        _at_least("checkpoint.keep", self.keep, 1)


@dataclass
class StopConfig:
    """Ends training before ``steps`` once a figure of metrics.jsonl has stopped to rise (:mod:`r1ray.plateau`)."""

    metric: str = "reward/mean"
    """``reward/mean``, a part (``reward/accuracy``), or a held-out figure (``eval/heldout/pass@1``)."""
    window: int = 0
    """Steps of each of the two means that are compared (of a held-out figure: evaluations); 0: never."""
    min_gain: float = 0.002
    """By how much the later mean has to be above the earlier one."""
    after: int = 100
    """Steps that are trained in any case."""
    patience: int = 1
    """Comparisons in a row, each a figure later, that have to find too little."""

    def __post_init__(self) -> None:
        _at_least("stop.window", self.window, 0)
        _at_least("stop.after", self.after, 0)
        _at_least("stop.patience", self.patience, 1)
        if not self.metric.startswith(("reward/", "eval/")):
            raise ValueError(f"stop.metric={self.metric}: needs reward/mean, reward/PART or eval/BENCHMARK/FIGURE.")


@dataclass
class DeadlineConfig:
    """Seconds after which a wait is an error that names both sides."""

    start_s: float = 900.0
    generate_s: float = 1800.0
    score_s: float = 600.0
    learn_s: float = 1800.0
    publish_s: float = 300.0
    checkpoint_s: float = 1800.0

    def __post_init__(self) -> None:
        for key, value in vars(self).items():
            _above(f"deadlines.{key}", value, 0)


@dataclass
class ClusterConfig:
    """Which Ray cluster the run uses."""

    address: str | None = None
    """None: the cluster of the Ray job or of RAY_ADDRESS, else one started on this machine for this run."""


@dataclass
class JudgeConfig:
    """Who grades answers that no rule can compare: for benchmarks whose check is judged or pairwise."""

    model: str | None = None
    """A Hugging Face model folder, served by engines of this run; or a model of the service at ``url``."""
    url: str | None = None
    """An OpenAI-compatible service, ``http://host:8000/v1``; its key is in the environment."""
    api_key_env: str = "OPENAI_API_KEY"
    """Name of the environment variable with the key."""
    deadline_s: float = 300.0
    """Of one answer, however often it is asked for."""
    max_in_flight: int = 64
    """Questions that one reward actor has open at a time."""
    max_model_len: int = 16384
    max_tokens: int = 1024
    """Of one answer: a reason and a grade."""
    engine: RolloutConfig = field(default_factory=RolloutConfig)

    @property
    def is_served(self) -> bool:
        """Whether engines of this run serve it."""
        return self.model is not None and self.url is None

    def __post_init__(self) -> None:
        if self.url is not None and self.model is None:
            raise ValueError(f"judge.model is not set: judge.url={self.url} needs the name of one of its models.")
        _above("judge.deadline_s", self.deadline_s, 0)
        _at_least("judge.max_in_flight", self.max_in_flight, 1)
        _at_least("judge.max_tokens", self.max_tokens, 16)
        _above("judge.max_model_len", self.max_model_len, self.max_tokens)


@dataclass
class SourceConfig:
    """Rows of the user's that are mixed into a collected data set: dialogues in any layout of recipe=sft."""

    path: str = ""
    ratio: float = 0.25
    """Their share of the whole."""
    domain: str = "general"
    language: str = "en"
    licence: str = "unknown"

    def __post_init__(self) -> None:
        if not self.path:
            raise ValueError("path is not set: needs a file of dialogues.")
        if not 0 < self.ratio < 1:
            raise ValueError(f"ratio={self.ratio}: needs to be above 0 and below 1.")


WAYS = ("plain", "few_shot", "direct", "rewrite")
PATTERNS = ("cold_start", "tags")


@dataclass
class CollectConfig:
    """Examples to learn from, sampled from a model (recipe=collect; paper sections 2.3.1 and 2.3.3)."""

    ways: list[str] = field(default_factory=lambda: ["plain"])
    """How the model is asked. ``plain``: the prompt as in training (rejection sampling). ``few_shot``: after some of
    ``examples``. ``direct``: asked to reflect and verify. ``rewrite``: the responses in ``responses`` are to be
    made readable."""
    examples: str | None = None
    """JSON lines with prompt, reasoning and summary; for ``few_shot``."""
    num_examples: int = 2
    responses: str | None = None
    """For ``rewrite``: the folder of another recipe=collect, of R1-Zero, whose right responses are rewritten."""
    samples: int = 16
    """Of each prompt, and each way."""
    keep: int = 4
    """Most that are kept of a prompt: the shortest."""
    min_value: float = 1.0
    """What is kept has at least this accuracy; prompts without a reference are kept by the filters alone."""
    temperature: float = 0.6
    top_p: float = 0.95
    max_tokens: int = 32768
    pattern: str = "cold_start"
    """How an example is written: ``cold_start`` (|special_token|reasoning|special_token|summary), or the ``tags`` of
    R1-Zero."""
    filters: list[str] | None = None
    """By name, see :mod:`r1ray.curation.filters`; None: those of rejection sampling where the only way is ``plain``,
    else those of the cold start."""
    options: dict[str, Any] = field(default_factory=dict)
    """Of the filters: ``min_language_share``, ``max_paragraph_words``, ..."""
    similarity: float = 0.8
    """Responses that are at least so similar (Jaccard, word 5-grams) to one kept before are left out; 1: only equal
    ones."""
    decontaminate: list[str] = field(default_factory=list)
    """Prompt files whose questions must not be in the data: those that are evaluated on."""
    sources: dict[str, Any] = field(default_factory=dict)
    """Rows of the user's that are mixed in, by name: see :class:`SourceConfig`."""
    licence: str = "unknown"
    """Of the prompts."""
    judge_agreement: int = 128
    """Samples of prompts with a rule that the judge grades too, where there is one: how often the two agree is a figure
    of the data set."""

    def __post_init__(self) -> None:
        _at_least("collect.judge_agreement", self.judge_agreement, 0)
        for way in self.ways:
            _one_of("collect.ways", way, WAYS)
        for way, key in (("few_shot", "examples"), ("rewrite", "responses")):
            if way in self.ways and getattr(self, key) is None:
                raise ValueError(f"collect.{key} is not set: collect.ways=[{way}] needs collect.{key}=PATH.")
        _one_of("collect.pattern", self.pattern, PATTERNS)
        for key in ("num_examples", "samples", "keep", "max_tokens"):
            _at_least(f"collect.{key}", getattr(self, key), 1)
        _check_sampling("collect.", self.temperature, self.top_p)
        if not 0 < self.similarity <= 1:
            raise ValueError(f"collect.similarity={self.similarity}: needs to be above 0 and at most 1.")
        for name, source in self.sources.items():
            if not isinstance(source, SourceConfig):
                try:
                    self.sources[name] = SourceConfig(**source)
                except (TypeError, ValueError) as error:
                    raise ValueError(f"collect.sources.{name}: {error}") from error
        if sum(source.ratio for source in self.sources.values()) >= 1:
            raise ValueError("collect.sources: their ratios need to add up to less than 1.")


@dataclass
class RunConfig:
    """One run: ``r1ray run`` with its overrides."""

    recipe: str = "r1_zero"
    experiment: str | None = None
    name: str | None = None
    """Folder under ``output_dir``. None: made of the experiment, the seed and a digest of the configuration, so that
    the same command resumes the same run."""
    output_dir: str = "runs"
    seed: int = 0
    steps: int = 1000
    """Of reinforcement learning; supervised recipes make supervised.epochs of their rows."""
    model: str | None = None
    """A Hugging Face model folder, or a hub name."""
    prepare: PrepareConfig = field(default_factory=PrepareConfig)
    data: DataConfig = field(default_factory=DataConfig)
    algo: AlgoConfig = field(default_factory=AlgoConfig)
    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    learner: LearnerConfig = field(default_factory=LearnerConfig)
    supervised: SupervisedConfig = field(default_factory=SupervisedConfig)
    collect: CollectConfig = field(default_factory=CollectConfig)
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    weights: WeightsConfig = field(default_factory=WeightsConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    stop: StopConfig = field(default_factory=StopConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    deadlines: DeadlineConfig = field(default_factory=DeadlineConfig)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    graph: dict[str, Any] = field(default_factory=dict)
    """Of recipes with several stages (recipe=r1): what is different in each stage, by its name, in order. See
    :mod:`r1ray.stages.graph`."""
    stages: list[str] | None = None
    """Run only these stages of the graph; None: all."""
    artifacts: dict[str, str] = field(default_factory=dict)
    """Paths in the place of what stages of the graph would make, by the stage's name."""

    @property
    def num_updates(self) -> int:
        """Optimizer updates of the whole run: steps * algo.minibatches_per_step."""
        return self.steps * self.algo.minibatches_per_step

    @property
    def max_model_len(self) -> int:
        """Longest sequence an engine has to hold: data.max_prompt_tokens + algo.max_completion_tokens."""
        return self.data.max_prompt_tokens + self.algo.max_completion_tokens

    @property
    def only_learner(self) -> bool:
        """Whether the recipe has a learner and no rollout or reward actors."""
        return self.recipe in SUPERVISED_RECIPES

    def __post_init__(self) -> None:
        _at_least("steps", self.steps, 1)
        _at_least("seed", self.seed, 0)
        if self.graph:
            return  # every stage is checked by itself, with what is different in it
        if self.only_learner:
            self._check_supervised()
        elif self.recipe in PROMPTS_OF:
            self._check_untrained()
        else:
            self._check_reinforcement()

    def _check_untrained(self) -> None:
        prompts = PROMPTS_OF[self.recipe]
        needed = {"model": self.model} | ({f"data.{prompts}": getattr(self.data, prompts)} if prompts else {})
        for key, value in needed.items():
            if value is None:
                raise ValueError(f"{key} is not set: recipe={self.recipe} needs {key}=PATH.")
        self.reward.require_parts()

    def _check_supervised(self) -> None:
        maker = self.prepare.maker
        for key, value in (("model", self.model or maker), ("supervised.train", self.supervised.train)):
            if value is None:
                raise ValueError(f"{key} is not set: recipe={self.recipe} needs {key}=PATH.")
        if maker and self.model is not None:
            raise ValueError(
                f"model={self.model}: prepare.maker={maker} makes its own; set prepare.maker=null to bring yours."
            )
        together = 2 if self.recipe == "reward_model" else 1  # a pair is computed in one micro-batch
        if together * self.supervised.max_tokens > self.learner.max_tokens_per_microbatch:
            raise ValueError(
                f"learner.max_tokens_per_microbatch={self.learner.max_tokens_per_microbatch} cannot hold the longest "
                f"row: needs at least {together * self.supervised.max_tokens} ("
                f"{'2 x ' if together == 2 else ''}supervised.max_tokens={self.supervised.max_tokens})."
            )

    def _check_stop(self) -> None:
        """Raise ValueError where the figure that ends training is never there, or comes late."""
        kind, _, name = self.stop.metric.partition("/")
        if not self.stop.window:
            return
        if kind == "eval" and self.eval.num_actors:
            raise ValueError(
                f"stop.metric={self.stop.metric}: with eval.num_actors={self.eval.num_actors} the figures of a version "
                "come while later ones are trained; needs eval.num_actors=0."
            )
        if kind == "eval" and not self.eval.every:
            raise ValueError(
                f"stop.metric={self.stop.metric}: with eval.every=0 nothing is evaluated in between; needs at least 1."
            )
        if kind == "reward" and name != "mean" and name not in self.reward.parts:
            raise ValueError(
                f"stop.metric={self.stop.metric}: needs reward/mean, or reward/ and one of "
                f"{', '.join(self.reward.parts)}."
            )

    @property
    def eval_slots(self) -> int:
        """``eval.slots`` with None decided."""
        if self.eval.slots is not None:
            return self.eval.slots
        if self.eval.num_actors:
            return self.eval.num_actors * self.rollout.max_num_seqs
        return max(1, self.rollout.num_actors * self.rollout.max_num_seqs // 4)

    def _check_reinforcement(self) -> None:
        if self.checkpoint.best is not None and self.eval.num_actors:
            raise ValueError(
                f"checkpoint.best={self.checkpoint.best}: with eval.num_actors={self.eval.num_actors} a checkpoint is "
                "written before its figures are there; needs eval.num_actors=0."
            )
        if self.prepare.maker is None:
            for key, value in (("model", self.model), ("data.train", self.data.train)):
                if value is None:
                    raise ValueError(
                        f"{key} is not set: give {key}=PATH, or an experiment that makes its own "
                        "(experiment=quickstart)."
                    )
        else:
            for key, value in (("model", self.model), ("data.train", self.data.train), ("data.eval", self.data.eval)):
                if value is not None:
                    raise ValueError(
                        f"{key}={value}: prepare.maker={self.prepare.maker} makes its own; set prepare.maker=null to "
                        "bring yours."
                    )
        self.reward.require_parts()
        for name, part in self.reward.parts.items():
            if part.deadline_s >= self.deadlines.score_s:
                raise ValueError(
                    f"reward.parts.{name}.deadline_s={part.deadline_s:g}: needs to be below "
                    f"deadlines.score_s={self.deadlines.score_s:g}, after which its actor is taken for dead."
                )
            if part.from_step > self.steps:
                raise ValueError(
                    f"reward.parts.{name}.from_step={part.from_step}: needs at most steps={self.steps}, or the part "
                    "never counts."
                )
        self._check_stop()
        if self.learner.lora.rank and self.algo.kl_coefficient and self.algo.reference_refresh_updates:
            raise ValueError(
                f"algo.reference_refresh_updates={self.algo.reference_refresh_updates}: with learner.lora.rank="
                f"{self.learner.lora.rank} the reference is the model without its adapters, which does not change; "
                "needs 0."
            )
        if self.max_model_len > self.learner.max_tokens_per_microbatch:
            raise ValueError(
                f"learner.max_tokens_per_microbatch={self.learner.max_tokens_per_microbatch} cannot hold the longest "
                f"sequence: needs at least {self.max_model_len} (data.max_prompt_tokens + algo.max_completion_tokens)."
            )


NOT_DECISIVE = ("name", "output_dir", "cluster", "deadlines", "checkpoint", "stages", "artifacts")
GRAPH_ONLY = ("name", "graph", "stages", "artifacts")
"""What belongs to a run of several stages, and to none of them."""
PLACEMENT = {
    "eval": ("num_actors", "slots"),
    "learner": ("num_ranks", "cpus_per_rank", "gpus_per_rank", "threads", "max_tokens_per_microbatch"),
    "rollout": ("num_actors", "cpus_per_actor", "gpus_per_actor", "threads"),
    "reward": ("num_actors", "cpus_per_actor", "max_in_flight"),
}
MODEL_PLACEMENT = ("num_actors", "cpus_per_actor", "gpus_per_actor", "threads", "batch_tokens")
"""The same of each of ``reward.models``."""


def decisive(config: RunConfig) -> dict[str, Any]:
    """What makes two runs different runs: not where they run, on how many ranks and actors, nor how patient they are.
    A run may go on from its checkpoint with other values of these."""
    return only_decisive(asdict(config))


def only_decisive(values: dict[Any, Any]) -> dict[Any, Any]:
    """The same of a configuration as nested dicts."""
    kept = {key: value for key, value in values.items() if key not in NOT_DECISIVE}
    for section, keys in PLACEMENT.items():
        kept[section] = _without(kept.get(section) or {}, keys)
    models = kept["reward"].get("models") or {}
    kept["reward"]["models"] = {name: _without(model, MODEL_PLACEMENT) for name, model in models.items()}
    return kept


def _without(section: dict[Any, Any], keys: tuple[str, ...]) -> dict[Any, Any]:
    return {key: value for key, value in section.items() if key not in keys}


@dataclass
class ScoreConfig:
    """``r1ray score FILE`` with its overrides."""

    reward: RewardConfig = field(default_factory=RewardConfig)
    output: str | None = None
    """Where the outcomes go; None: standard output."""

    def __post_init__(self) -> None:
        self.reward.require_parts()


@dataclass
class RewardModelConfig:
    """A reward model that ranks samples, and guides a search."""

    model: str | None = None
    """Folder of a sequence classifier with one label, as ``recipe=reward_model`` makes them; None: none."""
    num_actors: int = 1
    cpus_per_actor: float = 1.0
    gpus_per_actor: int | None = None
    """None: one where the cluster has GPUs, else none."""
    threads: int = 1
    dtype: str = "bfloat16"
    max_tokens: int = 32768
    """Longer texts lose their beginning."""
    batch_tokens: int = 65536

    def __post_init__(self) -> None:
        _at_least("reward_model.num_actors", self.num_actors, 1)
        _at_least("reward_model.threads", self.threads, 1)
        _one_of("reward_model.dtype", self.dtype, DTYPES)
        _at_least("reward_model.max_tokens", self.max_tokens, 2)
        _at_least("reward_model.batch_tokens", self.batch_tokens, self.max_tokens)


@dataclass
class PreferenceModelConfig(RewardModelConfig):
    """A reward model whose score is a part of the reward (paper section 2.3.4)."""

    sees: str = "response"
    """Beside the prompt: ``summary``, only what follows the reasoning (helpfulness), or the whole ``response``
    (harmlessness)."""

    def __post_init__(self) -> None:
        RewardModelConfig.__post_init__(self)
        _one_of("reward_model.sees", self.sees, ("summary", "response"))


def _preference_model(name: str, model: Any) -> PreferenceModelConfig:
    if isinstance(model, PreferenceModelConfig):
        return model
    key = f"reward.models.{name}"
    if not isinstance(model, dict):
        raise ValueError(f"{key}={model}: needs an object such as {{model: PATH, sees: summary}}.")
    defaults = PreferenceModelConfig()
    known = [each.name for each in fields(defaults)]
    for each, value in model.items():
        if each not in known:
            raise ValueError(f"{key}.{each}: no such key; needs one of {', '.join(known)}.")
        default = getattr(defaults, each)
        if each == "gpus_per_actor" and value is None:
            continue
        kind = {int: (int,), float: (int, float), str: (str,)}[int if each == "gpus_per_actor" else type(default or "")]
        if value != default and (isinstance(value, bool) or not isinstance(value, kind)):
            raise ValueError(f"{key}.{each}={value}: needs {'a text' if kind == (str,) else 'a number'}.")
    try:
        return PreferenceModelConfig(**model)
    except ValueError as error:
        raise ValueError(str(error).replace("reward_model.", f"{key}.")) from error


SEARCH_METHODS = ("best_of_n", "tree_search")


@dataclass
class SearchConfig:
    """The paper's search attempts (section 4.2) beside plain sampling, all with the same budget of generated tokens."""

    methods: list[str] = field(default_factory=list)
    """``best_of_n``: samples ranked by the rewards of their steps. ``tree_search``: Monte Carlo tree search. Both ask
    ``reward_model``."""
    budget: int = 32768
    """Generated tokens of one question."""
    aggregate: str = "min"
    """How the rewards of steps make one of an answer: ``min``, ``prod`` or ``last``."""
    num_children: int = 4
    """Segments that the tree search samples after a node."""
    segment_tokens: int = 512
    segment_end: str = "\n\n"
    """What ends a segment, beside its length."""
    exploration: float = 0.5

    def __post_init__(self) -> None:
        for method in self.methods:
            _one_of("search.methods", method, SEARCH_METHODS)
        _one_of("search.aggregate", self.aggregate, ("min", "prod", "last"))
        for key in ("budget", "num_children", "segment_tokens"):
            _at_least(f"search.{key}", getattr(self, key), 1)
        if not self.segment_end:
            raise ValueError("search.segment_end is empty: needs what ends a segment.")
        _at_least("search.exploration", self.exploration, 0)


@dataclass
class EvaluationConfig:
    """``r1ray eval`` with its overrides. None of a benchmark's own settings takes what its file says."""

    model: str | None = None
    """A Hugging Face model folder."""
    against: str | None = None
    """Another one: both are evaluated, and compared question by question."""
    benchmarks: Any = None
    """Written ``benchmark=`` on the command line: a name, the path of a YAML file, or a list of these."""
    data: Any = None
    """The user's copy of the set (file or folder), or ``miniature``; several benchmarks: a mapping from their names."""
    output_dir: str = "runs"
    """Results are kept in its ``evaluations/``, by what went into them: the same command again reads them."""
    seed: int = 0
    samples: int | None = None
    """k, of each question."""
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    template: str | None = None
    """As ``data.template``."""
    limit: int | None = None
    """Take so many questions, drawn by the seed."""
    window: list[str] | None = None
    """First and last date of the rows, as 2024-08-01."""
    languages: list[str] | None = None
    """Of programs, where a set has several."""
    command: list[str] | None = None
    """What judges a task, for sets with a harness of their own."""
    baseline: str | None = None
    """File of the baseline's answers, for pairwise sets that have them apart."""
    standings: str | None = None
    """File of contest standings, for rating and percentile."""
    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    reward_model: RewardModelConfig = field(default_factory=RewardModelConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    deadlines: DeadlineConfig = field(default_factory=DeadlineConfig)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)

    def __post_init__(self) -> None:
        for key in ("model", "benchmarks", "data"):
            if getattr(self, key) is None:
                name = key.removesuffix("s")
                raise ValueError(f"{name} is not set: r1ray eval needs model=PATH benchmark=NAME data=PATH.")
        for key in ("samples", "max_tokens", "limit"):
            if getattr(self, key) is not None:
                _at_least(key, getattr(self, key), 1)
        _at_least("seed", self.seed, 0)
        _check_sampling("", self.temperature, self.top_p)
        if self.template is not None:
            _one_of("template", self.template, TEMPLATES)
        if self.window is not None and len(self.window) != 2:
            raise ValueError(f"window={self.window}: needs two dates, [2024-08-01, 2025-01-31].")
        if self.search.methods and self.reward_model.model is None:
            raise ValueError(
                f"reward_model.model is not set: search.methods={self.search.methods} needs one that scores steps."
            )
        self.reward.require_parts()
