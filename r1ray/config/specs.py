"""What the actors are built from, beside their section of the configuration. Light, so that a driver can make them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from r1ray.config.environment import EnvironmentConfig


@dataclass(frozen=True, slots=True)
class AdapterSpec:
    """Adapters that an engine gets by themselves."""

    rank: int
    dtype: str
    targets: tuple[str, ...] | None
    """Names of the layers that have one; None: all linear layers but the output layer."""


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """What a rollout engine is made of."""

    model: str
    max_prompt_tokens: int
    max_model_len: int
    seed: int
    weight_backend: str | None
    """Name of the weight-transfer engine: ``r1ray_gloo``, ``r1ray_nccl`` or ``r1ray_ipc``; None: it keeps the weights
    it loaded."""
    num_gpus: int
    add_special_tokens: bool
    """Whether the tokenizer puts its own tokens (a beginning of sequence) before a prompt; a chat template does."""
    adapter: AdapterSpec | None = None
    """None: whole weights are published."""
    sleeps: bool = False
    """It gives its device up while others use it."""
    returns_experts: bool = False
    """Trajectories say which experts each token went through."""


@dataclass(frozen=True, slots=True)
class EngineShardSpec:
    """One node's part of an engine that is spread over several. Part 0 is the engine, the others work for it."""

    node_rank: int
    master_address: str
    master_port: int
    """Where part 0 opens the engine's process group."""


@dataclass(frozen=True, slots=True)
class LearnerSpec:
    """What a learner is made of."""

    model: str
    seed: int
    num_updates: int
    """Optimizer updates of the whole run, for the learning-rate schedule."""
    publishes_adapters: bool = False
    """Whether adapters are sent to the engines by themselves."""
    offload: str = "none"
    """Part of the state that leaves the device while engines sample on it; see ``colocated.offload``."""


@dataclass(frozen=True, slots=True)
class RankSpec:
    """One process's place in its learner group."""

    rank: int
    world_size: int
    master_address: str
    master_port: int
    num_gpus: int
    timeout_s: float


@dataclass(frozen=True, slots=True)
class JudgeSpec:
    """What a judge on a vLLM engine is made of."""

    model: str
    max_model_len: int
    """Tokens of a question and its reply."""
    max_tokens: int
    """Of a reply."""
    num_gpus: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodesSpec:
    """Needs of a group worker for trajectories in environments."""

    environment: EnvironmentConfig
    model: str
    """Whose tokenizer and chat template make tokens of a conversation."""
    template: str
    template_arguments: Mapping[str, Any]
    max_prompt_tokens: int
    max_row_tokens: int
    """Limit of all branches of a trajectory together, which a learner reads in one micro-batch."""
    start_s: float
    """Longest time that a trajectory waits for an environment worker while none lives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupWorkerSpec:
    """What a group worker is built from."""

    number: int
    generate_s: float
    """Deadline of one trajectory."""
    score_s: float
    """How long a reward actor that has something to score may answer nothing at all."""
    scores_in_flight: int
    """Trajectories that one reward actor holds at a time for this worker."""
    suspects: Mapping[str, str] | None = None
    """See :meth:`r1ray.config.RewardConfig.suspects`."""
    episodes: EpisodesSpec | None = None
    """None: no prompt has an environment."""
