"""Engines and learner that take turns on the same devices."""

from __future__ import annotations

from dataclasses import dataclass

from r1ray.config.actors import LearnerConfig, RolloutConfig
from r1ray.config.algo import AlgoConfig
from r1ray.config.values import one_of

PLACEMENTS = ("separate", "colocated")
SLEEP_LEVELS = (1, 2)
OR_SEPARATE = "or placement=separate, with devices for both."
OFFLOADS = ("none", "optimizer", "all")


@dataclass
class ColocatedConfig:
    """The turns of engines and learner on the same devices, with ``placement=colocated``."""

    sleep_level: int | None = None
    """Sleep level, vLLM's, of engines while the learner trains; either gives up the cache of keys and values. 1: the
    weights are kept in host memory. 2: they are given up too, and come back with the next publish. null: 2, or 1 if
    adapters are published natively, for the weights below them are never published."""
    offload: str | None = None
    """Part of the learner's state that is moved to host memory while the engines sample: ``none``, ``optimizer``
    (master weights and moments), or ``all`` (also parameters, gradients and the reference). null: on GPUs
    the one with the shortest step that leaves room, as ``r1ray plan`` computes it; on CPUs ``all``; ``none`` if
    DeepSpeed cannot move it, with ``learner.zero_stage`` 0 in float32 or with ``learner.offload_parameters``."""

    def level(self, *, sends_adapters: bool) -> int:
        """Return ``sleep_level`` with None decided."""
        if self.sleep_level is not None:
            return self.sleep_level
        return 1 if sends_adapters else 2

    def offloaded(self, learner: LearnerConfig) -> str:
        """Return ``offload`` with None decided."""
        if self.offload is not None:
            return self.offload
        return "none" if why_not_offloaded(learner) else "all"

    def __post_init__(self) -> None:
        if self.sleep_level not in (None, *SLEEP_LEVELS):
            raise ValueError(f"colocated.sleep_level={self.sleep_level}: needs 1, 2 or null.")
        if self.offload is not None:
            one_of("colocated.offload", self.offload, OFFLOADS)


def why_not_offloaded(learner: LearnerConfig) -> str:
    """Return why DeepSpeed cannot move a learner's state to host memory and back, for the user; "" where it can."""
    if learner.stage_in_use == 0:
        return "learner.zero_stage=0 leaves the optimizer to PyTorch, which cannot move it; needs 1, 2 or 3"
    if learner.offload_parameters:
        return "learner.offload_parameters=true keeps it in host memory for good; needs to be false"
    return ""


def check_colocated(
    config: ColocatedConfig,
    algo: AlgoConfig,
    rollout: RolloutConfig,
    learner: LearnerConfig,
    *,
    num_eval_engines: int,
) -> None:
    """Raise ValueError where engines and learner cannot take turns."""
    if algo.max_staleness:
        raise ValueError(
            f"algo.max_staleness={algo.max_staleness}: with placement=colocated nothing is generated while the learner "
            "trains, so that generation cannot run ahead; needs algo.max_staleness=0 (algo=async sets 1), "
            f"{OR_SEPARATE}"
        )
    if algo.stream_minibatches:
        raise ValueError(
            "algo.stream_minibatches=true: with placement=colocated nothing is generated while the learner trains on a "
            f"minibatch; needs false, {OR_SEPARATE}"
        )
    if num_eval_engines:
        raise ValueError(
            f"eval.num_actors={num_eval_engines}: with placement=colocated the engines that generate evaluate too; "
            f"needs 0, {OR_SEPARATE}"
        )
    if rollout.most_actors > rollout.num_actors:
        raise ValueError(
            f"rollout.max_actors={rollout.max_actors}: with placement=colocated there are as many engines as the "
            f"learner's devices hold; needs rollout.num_actors={rollout.num_actors}, {OR_SEPARATE}"
        )
    for name in rollout.labels.keys() & learner.labels.keys():
        if rollout.labels[name] != learner.labels[name]:
            raise ValueError(
                f"rollout.labels.{name}={rollout.labels[name]}, learner.labels.{name}={learner.labels[name]}: with "
                f"placement=colocated both are on the same nodes; needs the same value, {OR_SEPARATE}"
            )
    lora = learner.lora
    if config.sleep_level == 2 and lora.is_native(has_gpus=False, engine_dtype=rollout.dtype):
        raise ValueError(
            f"colocated.sleep_level=2 with learner.lora.publish={lora.publish}: an engine would give up the weights "
            "below the adapters, which are never published; needs 1, or learner.lora.publish=merged."
        )
    if config.offload not in (None, "none") and (problem := why_not_offloaded(learner)):
        raise ValueError(f"colocated.offload={config.offload}: {problem}, or colocated.offload=none.")
