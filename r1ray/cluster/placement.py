"""What the run needs of a Ray cluster, whether it is there, and reserving it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import ray
from ray.exceptions import RayError
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group

from r1ray.config import RunConfig
from r1ray.errors import UserError


@dataclass(frozen=True, slots=True)
class Needs:
    """Resources of each kind of actor, with ``None`` of the configuration decided."""

    learner_gpus: int
    rollout_gpus: int
    bundles: tuple[dict[str, float], ...]
    """Learner ranks first, then rollout actors, then reward actors where they take CPUs at all."""

    @property
    def cpus(self) -> float:
        return sum(bundle.get("CPU", 0.0) for bundle in self.bundles)

    @property
    def gpus(self) -> float:
        return sum(bundle.get("GPU", 0.0) for bundle in self.bundles)


def needs(config: RunConfig, *, cluster_has_gpus: bool, only_learner: bool = False) -> Needs:
    """The resources of the run on a cluster with or without GPUs; ``only_learner`` where nothing is sampled."""
    default = int(cluster_has_gpus)
    learner_gpus = default if config.learner.gpus_per_rank is None else config.learner.gpus_per_rank
    rollout_gpus = default if config.rollout.gpus_per_actor is None else config.rollout.gpus_per_actor
    bundles = [_bundle(config.learner.cpus_per_rank, learner_gpus)] * config.learner.num_ranks
    if not only_learner:
        bundles += [_bundle(config.rollout.cpus_per_actor, rollout_gpus)] * config.rollout.num_actors
        bundles += [_bundle(config.reward.cpus_per_actor, 0)] * config.reward.num_actors
    return Needs(learner_gpus, rollout_gpus, tuple(bundle for bundle in bundles if bundle))


def _bundle(cpus: float, gpus: int) -> dict[str, float]:
    return {name: float(amount) for name, amount in (("CPU", cpus), ("GPU", gpus)) if amount}


def check_fits(config: RunConfig, *, cpus: float, gpus: float, only_learner: bool = False) -> Needs:
    """The run's needs. Raises UserError, with the arithmetic and the keys, where the cluster has less."""
    need = needs(config, cluster_has_gpus=gpus > 0, only_learner=only_learner)
    learner, rollout, reward = config.learner, config.rollout, config.reward
    cpu_terms = [f"learner.num_ranks={learner.num_ranks} x learner.cpus_per_rank={learner.cpus_per_rank:g}"]
    gpu_terms = [f"learner.num_ranks={learner.num_ranks} x learner.gpus_per_rank={need.learner_gpus}"]
    if not only_learner:
        cpu_terms += [
            f"rollout.num_actors={rollout.num_actors} x rollout.cpus_per_actor={rollout.cpus_per_actor:g}",
            f"reward.num_actors={reward.num_actors} x reward.cpus_per_actor={reward.cpus_per_actor:g}",
        ]
        gpu_terms.append(f"rollout.num_actors={rollout.num_actors} x rollout.gpus_per_actor={need.rollout_gpus}")
    for kind, needed, found, terms in (("CPUs", need.cpus, cpus, cpu_terms), ("GPUs", need.gpus, gpus, gpu_terms)):
        if needed > found + 1e-6:
            raise UserError(
                f"the run needs {needed:g} {kind} ({' + '.join(terms)}), but there are {found:g}: lower one of these "
                "keys."
            )
    return need


def connect(address: str | None) -> tuple[float, float]:
    """Join the cluster at ``address``, that of the job or of RAY_ADDRESS, or start one on this machine for this
    process. Returns its CPUs and GPUs."""
    if not ray.is_initialized():
        target = address or os.environ.get("RAY_ADDRESS")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        if target:
            try:
                ray.init(address=target, log_to_driver=False)
            except (ConnectionError, RuntimeError, RayError) as error:
                raise UserError(f"cluster.address={target}: cannot be joined: {error}") from error
        else:
            ray.init(num_cpus=available_cpus(), include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    total = ray.cluster_resources()
    return total.get("CPU", 0.0), total.get("GPU", 0.0)


def available_cpus() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0))


def is_remote(config: RunConfig) -> bool:
    """Whether the run joins a cluster, instead of starting one on this machine."""
    return bool(config.cluster.address or os.environ.get("RAY_ADDRESS") or ray.is_initialized())


def preflight(config: RunConfig) -> None:
    """Refuse what cannot fit before anything is started, where the run would start its own cluster."""
    if is_remote(config):
        return
    check_fits(config, cpus=available_cpus(), gpus=local_gpus(), only_learner=config.only_learner)


def local_gpus() -> int:
    """NVIDIA GPUs of this machine that this process may use; looked up without loading CUDA."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([device for device in visible.split(",") if device.strip() not in ("", "-1")])
    return len([path for path in Path("/dev").glob("nvidia*") if path.name.removeprefix("nvidia").isdigit()])


def reserve(need: Needs, *, timeout_s: float) -> PlacementGroup:
    """One placement group for the whole run. Raises UserError where it cannot be placed in time: the cluster has
    enough in total, but not on single nodes, or somebody else uses it."""
    group = placement_group([dict(bundle) for bundle in need.bundles], strategy="PACK")
    if not group.wait(timeout_s):
        remove_placement_group(group)
        free = ray.available_resources()
        raise UserError(
            f"the cluster could not place {len(need.bundles)} actors ({need.cpus:g} CPUs, {need.gpus:g} GPUs) within "
            f"{timeout_s:g} s; free now: {free.get('CPU', 0):g} CPUs, {free.get('GPU', 0):g} GPUs. Wait for other "
            "jobs, or lower rollout.num_actors or learner.num_ranks."
        )
    return group
